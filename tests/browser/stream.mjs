// Pictures that form while one watches: generate, blend, the matrix, joint samples; cancelling; what a picture offers.
import { execFileSync } from 'node:child_process';
import os from 'node:os';
import { assert, fillIn, fs, look, onPage, openTab, path, test, theDaemon, verdict, waitState } from './support.mjs';

const picture = (panel, i) => `${panel} .picture >> nth=${i}`;
const lookAt = (page, panel, i) =>
	page.locator(`${panel} .picture canvas`).nth(i).evaluate((canvas) => canvas.toDataURL());

// Different looks of a canvas until the panel is in one of the states.
async function watch(page, panel, canvas, states) {
	return page.evaluate(({ panel: panel_, canvas: canvas_, states: states_ }) => new Promise((resolve) => {
		const looks = new Set();
		const timer = setInterval(() => {
			const node = document.querySelector(canvas_);
			if (node) {
				looks.add(node.toDataURL());
			}
			if (states_.includes(document.querySelector(panel_).dataset.state)) {
				clearInterval(timer);
				resolve(looks.size);
			}
		}, 12);
	}), { panel, canvas, states });
}

async function metric(name) {
	const text = await (await fetch(`${(await theDaemon()).url}metrics`)).text();
	return text.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
		.reduce((sum, line) => sum + Number(line.split(' ').pop()), 0);
}

test('pictures form out of noise; the same seed draws the same again', async () => {
	await onPage({ hash: '#generate' }, async (page) => {
		await waitState(page, '#generate', 'done');
		await page.fill('#generate input[name=count]', '4');
		await page.fill('#generate input[name=seed]', '67');
		await page.press('#generate input[name=seed]', 'Tab');
		const lock = page.locator('#generate [data-lock]');
		assert.equal(await lock.getAttribute('aria-pressed'), 'true', 'a typed seed is kept');
		const asked = page.waitForRequest((request) => request.url().endsWith('/v1/generate'));
		await page.click('#generate [data-digits] button >> nth=3');
		const body = (await asked).postDataJSON();
		assert.deepEqual([body.digit, body.count, body.seed], [3, 4, 67]);
		const looks = await watch(page, '#generate', '#generate .picture canvas', ['done']);
		assert.ok(looks >= 8, `only ${looks} different states of the first picture were seen`);
		assert.equal(await page.locator('#generate .picture').count(), 4);
		const first = await lookAt(page, '#generate', 0);
		assert.notEqual(first, await lookAt(page, '#generate', 1));
		await page.click('#generate button[type=submit]');
		await waitState(page, '#generate', 'running');
		await waitState(page, '#generate', 'done');
		assert.equal(await lookAt(page, '#generate', 0), first);
		await page.click('#generate [data-dice]');
		await waitState(page, '#generate', 'running');
		await waitState(page, '#generate', 'done');
		assert.notEqual(await lookAt(page, '#generate', 0), first);
	});
});

test('the sliders are the label vector that is sent', async () => {
	await onPage({ hash: '#generate' }, async (page) => {
		await waitState(page, '#generate', 'done');
		const slider = page.locator('#generate [data-mixer] input').nth(6);
		const asked = page.waitForRequest((request) => request.url().endsWith('/v1/generate'));
		await slider.focus();
		await page.keyboard.press('End');
		const body = (await asked).postDataJSON();
		assert.deepEqual(body.label, [-1, -1, -1, -1, -1, -1, 1, 1, -1, -1]);
		await waitState(page, '#generate', 'done');
		assert.match(await page.textContent('#generate pre'), /"label":\[-1,/);
	});
});

test('cancelling stops the work in the daemon too, and the next one runs', async () => {
	await onPage({ hash: '#generate' }, async (page) => {
		await waitState(page, '#generate', 'done');
		const before = await metric('jointflow_cancellations_total');
		await page.fill('#generate input[name=count]', '64');
		await fillIn(page, '#generate input[name=steps]', '100');
		await page.click('#generate button[type=submit]');
		await page.waitForFunction(() => document.querySelector('#generate progress').value > 20);
		await page.click('#generate [data-cancel]');
		await waitState(page, '#generate', 'cancelled');
		assert.equal(await page.textContent('#generate [data-status]'), 'cancelled');
		for (let i = 0; i < 100 && await metric('jointflow_cancellations_total') === before; i++) {
			await page.waitForTimeout(50);
		}
		assert.ok(await metric('jointflow_cancellations_total') > before, 'the daemon noticed');
		await page.fill('#generate input[name=count]', '2');
		await fillIn(page, '#generate input[name=steps]', '5');
		await page.click('#generate button[type=submit]');
		await waitState(page, '#generate', 'done');
	});
});

test('a picture can be classified, its seed and curl copied, its PNG saved', async () => {
	await onPage({ hash: '#generate', permissions: ['clipboard-read', 'clipboard-write'] }, async (page) => {
		await waitState(page, '#generate', 'done');
		await page.fill('#generate input[name=count]', '9');
		await page.fill('#generate input[name=seed]', '1');
		await page.press('#generate input[name=seed]', 'Tab');
		await page.click('#generate [data-digits] button >> nth=0');
		await waitState(page, '#generate', 'running');
		await waitState(page, '#generate', 'done');
		await page.click(picture('#generate', 0));
		await page.waitForSelector('#card[open]');
		await page.click('#card-seed');
		await page.waitForFunction(() => document.querySelector('#card-live').textContent === 'Copied.');
		assert.equal(await page.evaluate(() => navigator.clipboard.readText()), '1');
		await page.click('#card-curl');
		await page.waitForTimeout(100);
		const command = await page.evaluate(() => navigator.clipboard.readText());
		const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'jf-curl-'));
		execFileSync('bash', ['-c', `${command} -sS`], { cwd: folder });
		const sheet = fs.readFileSync(path.join(folder, 'digits.png'));
		fs.rmSync(folder, { recursive: true });
		assert.equal(sheet.subarray(1, 4).toString(), 'PNG');
		const [saving] = await Promise.all([page.waitForEvent('download'), page.click('#card-save')]);
		const saved = fs.readFileSync(await saving.path());
		assert.equal(saved.subarray(1, 4).toString(), 'PNG');
		assert.deepEqual([saved.readUInt32BE(16), saved.readUInt32BE(20)], [28, 28]);
		await page.keyboard.press('Escape');
		let right = 0;
		for (let i = 0; i < 5; i++) {
			await openTab(page, 'generate');
			await page.click(picture('#generate', i));
			await page.waitForSelector('#card[open]');
			await page.click('#card-classify');
			right += await verdict(page) === '0';
		}
		assert.ok(right >= 4, `${right} of 5 pictures of a zero were classified as zero`);
	});
});

test('the blend slider changes the picture; the strip has both ends', async () => {
	await onPage({ hash: '#blend?steps=12' }, async (page) => {
		assert.equal(await page.textContent('#blend-title'), 'Six Seven');
		await waitState(page, '#blend', 'done');
		const looks = [];
		for (const weight of [0, 5, 10, 15, 20]) {
			await page.locator('#weight').fill(String(weight));
			looks.push(await look(page, '#morph'));
		}
		assert.equal(new Set(looks).size, 5, 'five positions, five pictures');
		// The positions stand where the picture changes: no three of the 20 steps are most of the way.
		const steps = await page.evaluate(() => {
			const weight = document.querySelector('#weight');
			const morph = document.querySelector('#morph');
			const at = [...Array(21).keys()].map((position) => {
				weight.value = position;
				weight.dispatchEvent(new Event('input'));
				const copy = new OffscreenCanvas(morph.width, morph.height).getContext('2d', { willReadFrequently: true });
				copy.drawImage(morph, 0, 0);
				return copy.getImageData(0, 0, morph.width, morph.height).data;
			});
			return at.slice(1).map((data, i) =>
				Math.sqrt(data.reduce((sum, value, k) => sum + (value - at[i][k]) ** 2, 0)));
		});
		const [all, largest] = [steps, [...steps].sort((a, b) => b - a).slice(0, 3)]
			.map((values) => values.reduce((sum, value) => sum + value, 0));
		assert.ok(largest < 0.4 * all, `the three largest of 20 steps are ${(100 * largest / all).toFixed(0)} % of the way`);
		assert.equal(await page.textContent('#weight-text'), '0 % six, 100 % seven');
		await page.locator('#weight').focus();
		await page.keyboard.press('Home');
		assert.equal(await look(page, '#morph'), looks[0]);
		assert.equal(await page.textContent('#weight-text'), '100 % six, 0 % seven');
		assert.equal(await page.locator('#strip .picture').count(), 36);
		assert.equal(await lookAt(page, '#strip', 0), looks[0], 'the strip starts with the same noise');
		await page.click('#swap');
		assert.equal(await page.textContent('#blend-title'), 'Seven Six');
		await waitState(page, '#blend', 'running');
		await waitState(page, '#blend', 'done');
		assert.equal(await look(page, '#morph'), looks[4]);
		await page.click('#blend [data-to] button >> nth=1');
		assert.equal(await page.textContent('#blend-title'), 'Seven One');
		await waitState(page, '#blend', 'running');
		await waitState(page, '#blend', 'done');
	});
});

test('the matrix of every pair fills in and completes; it can be cancelled', async () => {
	await onPage({ hash: '#blend?steps=10' }, async (page) => {
		await waitState(page, '#blend', 'done');
		await page.click('#matrix-go');
		const looks = await watch(page, '#matrix', '#matrix .picture canvas', ['done']);
		assert.ok(looks >= 5, `only ${looks} different states of the first cell were seen`);
		assert.equal(await page.locator('#matrix .picture:enabled').count(), 100);
		const all = await page.evaluate(() =>
			[...document.querySelectorAll('#matrix canvas')].map((canvas) => canvas.toDataURL()));
		assert.ok(new Set(all).size > 50, 'the cells differ');
		await page.click('#matrix .picture >> nth=67');
		assert.equal(await page.textContent('#blend-title'), 'Six Seven');
		await page.click('#matrix .picture >> nth=34');
		assert.equal(await page.textContent('#blend-title'), 'Three Four');
		await waitState(page, '#blend', 'done');
		await fillIn(page, '#blend input[name=steps]', '100');
		await page.click('#matrix-go');
		await page.waitForFunction(() => document.querySelector('#matrix-progress').value > 5);
		await page.click('#matrix-cancel');
		await waitState(page, '#matrix', 'cancelled');
		assert.ok(await page.isVisible('#matrix-go'));
	});
});

test('joint samples: image and label form together', async () => {
	await onPage({ hash: '#sample' }, async (page) => {
		const looks = await watch(page, '#sample', '#sample .picture canvas', ['done']);
		assert.ok(looks >= 8, `only ${looks} different states of the first pair were seen`);
		assert.equal(await page.locator('#sample .pair').count(), 8);
		const names = await page.locator('#sample .pair .name').allTextContents();
		names.forEach((name) => assert.match(name, /^(Zero|One|Two|Three|Four|Five|Six|Seven|Eight|Nine)$/));
		assert.ok(new Set(names).size >= 2, `all pairs are ${names[0]}`);
		assert.equal(await page.locator('#sample .pair .columns .win').count(), 8);
		await page.fill('#sample input[name=count]', '64');
		await fillIn(page, '#sample input[name=steps]', '200');
		await page.click('#sample button[type=submit]');
		await page.waitForFunction(() => document.querySelector('#sample progress').value > 20);
		await page.click('#sample [data-cancel]');
		await waitState(page, '#sample', 'cancelled');
	});
});

test('selects and empty fields are filled with what the server offers', async () => {
	const { choices, defaults } = await (await fetch(`${(await theDaemon()).url}v1/model`)).json();
	await onPage({}, async (page) => {
		for (const question of ['generate', 'sample']) {
			const select = page.locator(`#${question} select[name=solver]`);
			assert.deepEqual(await select.locator('option').allTextContents(), choices.solver);
			assert.equal(await select.inputValue(), defaults[question].solver);
		}
		for (const [field, value] of [['#generate input[name=steps]', defaults.generate.steps],
			['#blend input[name=guidance]', defaults.blend.guidance], ['#stepwise input[name=samples]', defaults.classify.samples]]) {
			assert.equal(Number(await page.inputValue(field)), value, field);
		}
	});
});
