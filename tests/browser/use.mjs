// What a visitor finds on each tab: its purpose, its terms, its fields when going back; and a model that is not digits.
import { execFileSync } from 'node:child_process';
import {
	Daemon, assert, axe, build, drawLittle, drawOnPad, fillIn, inked, look, mouseStroke, onPage, openTab, path, test,
	theBrowser, verdict, waitState, withPage,
} from './support.mjs';
import { drawings } from './strokes.mjs';

const tabs = ['classify', 'generate', 'blend', 'sample', 'about'];
const seven = drawings.find(({ digit, by }) => digit === 7 && by === 'mouse');
const asks = async (page, end) =>
	(await page.waitForRequest((request) => request.url().endsWith(end))).postDataJSON();
const done = (page, tab) => (tab === 'classify' ? null : waitState(page, `#${tab}`, 'done'));

async function noViolations(page, where) {
	await page.evaluate(axe);
	const { violations } = await page.evaluate(() => window.axe.run());
	assert.deepEqual(violations.map(({ id, nodes }) => `${where}: ${id}: ${nodes[0].html}`), []);
}

test('each tab says in one sentence what it is for; every term is explained, by keyboard too', async () => {
	await onPage({ colorScheme: 'dark', reducedMotion: 'reduce' }, async (page) => {
		await drawLittle(page);
		const explained = new Set();
		for (const tab of tabs) {
			await openTab(page, tab);
			await done(page, tab);
			if (tab === 'classify') {
				await drawOnPad(page, seven);
				await verdict(page);
				await page.check('input[value=sample]');
				await verdict(page);
			}
			assert.match(await page.textContent(`#${tab} .lead p`), /^[A-Z][^.!?]+\.$/);
			const folded = page.locator(`#${tab} .advanced`);
			for (let i = 0; i < await folded.count(); i++) {
				assert.equal(await folded.nth(i).getAttribute('open'), null, `${tab}: what is needed rarely is folded`);
				await folded.nth(i).locator('summary').press('Enter');
			}
			for (const button of await page.locator(`#${tab} .help`).all()) {
				const tip = button.locator('xpath=following-sibling::*[@role="status"]');
				assert.equal(await tip.textContent(), '');
				await button.press('Enter');
				assert.equal(await button.getAttribute('aria-expanded'), 'true');
				assert.match(await tip.textContent(), /^[A-Z0-9][^.!?]+\.$/);
				explained.add(await button.getAttribute('aria-label'));
			}
			await noViolations(page, `${tab}, explained`);
			for (const button of await page.locator(`#${tab} .help`).all()) {
				await button.press('Escape');
				assert.equal(await button.getAttribute('aria-expanded'), 'false');
			}
		}
		const terms = ['guidance', 'the solver', 'a step', 'the seed', 'at a glance'];
		assert.deepEqual(terms.filter((term) => !explained.has(`What is ${term}?`)), []);
		await openTab(page, 'classify');
		assert.ok(await inked(page) > 0, 'Escape at a question mark leaves the drawing alone');
	});
});

test('going back restores what the fields held, and the pictures that were there', async () => {
	await onPage({ hash: '#generate?class=3&seed=5&count=2&steps=4' }, async (page) => {
		const chosen = () => page.locator('#generate [data-digits] [aria-pressed=true]').textContent();
		const picture = () => look(page, '#generate .picture canvas');
		const settle = async (what) => {
			await what();
			await page.waitForFunction(() => document.querySelector('#generate').dataset.state === 'done');
		};
		await done(page, 'generate');
		const three = await picture();
		await settle(() => page.click('#generate [data-digits] button >> nth=8'));
		await settle(async () => {
			await page.fill('#generate input[name=count]', '3');
			await page.click('#generate button[type=submit]');
			await waitState(page, '#generate', 'running');
		});
		await page.evaluate(() => { document.querySelector('#blend input[name=steps]').value = '3'; });
		await openTab(page, 'blend');
		await done(page, 'blend');
		await page.click('#blend [data-to] button >> nth=1');
		await done(page, 'blend');
		assert.equal(await page.textContent('#blend-title'), 'Six One');
		await page.goBack();
		await page.waitForFunction(() => document.querySelector('#blend-title').textContent === 'Six Seven');
		await done(page, 'blend');
		await page.goBack();
		await page.waitForSelector('#generate:not([hidden])');
		assert.deepEqual([await chosen(), await page.inputValue('#generate input[name=count]')], ['8', '3']);
		await page.goBack();
		await page.waitForFunction(() => document.querySelector('#generate input[name=count]').value === '2');
		assert.equal(await chosen(), '8');
		await page.goBack();
		await page.waitForSelector('#generate [data-digits] button:nth-child(4)[aria-pressed=true]');
		await done(page, 'generate');
		assert.equal(await picture(), three);
		await page.goForward();
		await page.waitForSelector('#generate [data-digits] button:nth-child(9)[aria-pressed=true]');
		await done(page, 'generate');
	});
	await onPage({}, async (page) => {
		await drawOnPad(page, seven);
		await verdict(page);
		await page.check('input[value=sample]');
		await verdict(page);
		assert.match(new URL(page.url()).hash, /^#classify\?method=sample&samples=8&steps=\d+&seed=\d+$/);
		await fillIn(page, '#stepwise input[name=steps]', '5');
		await page.click('#stepwise button[type=submit]');
		await verdict(page);
		await page.goBack();
		await page.waitForFunction(() => document.querySelector('#stepwise input[name=steps]').value !== '5');
		await page.goBack();
		await page.waitForSelector('#stepwise', { state: 'hidden' });
		assert.equal(await verdict(page), '7');
	});
});

test('while the way of a morph is measured and drawn, the page says so', async () => {
	await onPage({ hash: '#blend?from=2&to=5&steps=4' }, async (page) => {
		await done(page, 'blend');
		await page.evaluate(() => {
			window.told = [];
			const status = document.querySelector('#morph-status');
			const bar = document.querySelector('#morph-progress');
			new MutationObserver(() => window.told.push([status.textContent, bar.hasAttribute('value')]))
				.observe(status, { childList: true });
		});
		await page.click('#blend [data-dice]');
		await waitState(page, '#blend', 'running');
		await done(page, 'blend');
		const told = await page.evaluate(() => window.told);
		assert.deepEqual(told[0], ['finding where the pictures change', false]);
		assert.ok(told.some(([words, counted]) => words === 'drawing' && counted), JSON.stringify(told));
		assert.ok(await page.isHidden('#morphing'));
	});
});

test('Escape clears the drawing at the pad and its tools, and nowhere else', async () => {
	await onPage({}, async (page) => {
		await drawOnPad(page, seven);
		await verdict(page);
		const controls = await page.locator(':is(button, a[href], input, select, summary):not(.toolbar button, #file)').all();
		let tried = 0;
		for (const control of controls) {
			if (await control.isVisible() && await control.isEnabled()) {
				await control.focus();
				await page.keyboard.press('Escape');
				assert.ok(await page.isEnabled('#clear'), await control.evaluate((node) => node.outerHTML.slice(0, 90)));
				tried++;
			}
		}
		assert.ok(tried > 25, `${tried} controls`);
	});
});

test('a model that is not digits: words, pad, bars, pictures and requests are its own', async () => {
	const daemon = new Daemon();
	const model = path.join(daemon.folder, 'things.safetensors');
	const names = ['left shoe', 'map', 'bag'];
	execFileSync(path.join(build, 'tests/make_model'),
		[model, 'height=12', 'width=16', 'image_channels=3', 'classes=3', `names=${names}`]);
	daemon.options.model = model;
	try {
		await daemon.start();
		await withPage(await theBrowser(), daemon.url, {}, async (page) => {
			await drawLittle(page);
			const shape = (selector) => page.locator(selector).first().evaluate((node) => [node.width, node.height]);
			assert.equal(await page.textContent('#classify h2'), 'Draw or open a picture');
			assert.equal(await page.getAttribute('#pad', 'aria-label'), 'Drawing area, 16 by 12 cells');
			const box = await page.locator('#pad').boundingBox();
			assert.ok(Math.abs(box.width / box.height - 16 / 12) < 0.02, `${box.width} x ${box.height}`);
			await page.focus('#pad');
			await page.keyboard.press('Shift+ArrowLeft');
			await page.keyboard.press('ArrowUp');
			const cell = await page.locator('#pad-cell').evaluate(({ style }) =>
				[style.left, style.top, style.width, style.height]);
			assert.deepEqual(cell.map(parseFloat).map((part) => part.toFixed(2)), ['25.00', '41.67', '6.25', '8.33']);
			assert.deepEqual(await page.locator('#classify-bars .name').allTextContents(), names);
			assert.ok(await page.isHidden('#real'));
			await mouseStroke(page, [[0.3, 0.2], [0.5, 0.8]]);
			assert.ok(names.includes(await verdict(page)));
			assert.deepEqual(await shape('#seen-image'), [16, 12]);
			await page.click('#like button >> nth=1');
			await page.waitForSelector('#card[open]');
			assert.equal(await page.textContent('#card-title'), 'Like yours, but map');
			assert.deepEqual(await shape('#card-image'), [16, 12]);
			await page.keyboard.press('Escape');

			const generated = asks(page, '/v1/generate');
			await openTab(page, 'generate');
			assert.equal((await generated).class, 'bag');
			await done(page, 'generate');
			const again = asks(page, '/v1/generate');
			await page.click('#generate [data-digits] button >> nth=1');
			assert.equal((await again).class, 'map');
			await done(page, 'generate');
			assert.match(new URL(page.url()).hash, /class=map&/);
			assert.deepEqual(await shape('#generate .picture canvas'), [16, 12]);
			assert.equal(await page.locator('#generate [data-mixer] label').count(), 3);

			const blended = asks(page, '/v1/blend');
			await openTab(page, 'blend');
			const { from, to } = await blended;
			assert.deepEqual([from, to], ['map', 'bag']);
			await done(page, 'blend');
			assert.equal(await page.textContent('#blend-title'), 'Map Bag');
			assert.match(await page.textContent('#blend pre'), /"weights":{"map":[\d.]+,"bag":[\d.]+}/);
			await page.click('#matrix-go');
			await waitState(page, '#matrix', 'done');
			assert.equal(await page.locator('#matrix .picture:enabled').count(), 9);

			await openTab(page, 'sample');
			await done(page, 'sample');
			const drawn = await page.locator('#sample .pair .name').allTextContents();
			assert.ok(drawn.every((name) => ['Left shoe', 'Map', 'Bag'].includes(name)), drawn.join());

			await openTab(page, 'about');
			await done(page, 'about');
			for (const line of (await page.locator('#reference pre').allTextContents())) {
				const [, body] = /--json '([^']*)'/.exec(line) ?? [];
				if (!/-F /.test(line)) {
					const answer = await fetch(/'(http[^']*)'/.exec(line)[1], body &&
						{ method: 'POST', body, headers: { 'Content-Type': 'application/json' } });
					assert.equal(answer.status, 200, line);
					await answer.body?.cancel();
				}
			}
			for (const tab of tabs) {
				await openTab(page, tab);
				await page.evaluate(() => { document.querySelector('#reference').hidden = true; });
				assert.doesNotMatch(await page.innerText(`#${tab}`), /digit|28 (x|by|×) 28/i, tab);
				await noViolations(page, `${tab} of things`);
			}
		});
	} finally {
		await daemon.remove();
	}
});
