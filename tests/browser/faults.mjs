// What the page must not do again: each of these failed once.
import {
	assert, axe, cleared, drawLittle, drawOnPad, fs, greyPng, mouseStroke, onPage, openTab, path, source, test, theDaemon,
	upload, verdict, waitState,
} from './support.mjs';
import { drawings } from './strokes.mjs';

const seven = drawings.find(({ digit, by }) => digit === 7 && by === 'mouse');
const expected = [/Failed to load resource/];
// The query and the body of what the page sends next to a path.
const asks = (page, end) => page.waitForRequest((request) => new URL(request.url()).pathname.endsWith(end));

test('grey paper stays paper when something is drawn on an opened picture, or taken off it', async () => {
	await onPage({}, async (page) => {
		for (const tool of ['pen', 'eraser']) {
			await upload(page, await greyPng(page, { ...seven, width: 22, ink: 40, paper: 190 }));
			assert.equal(await verdict(page), '7');
			await page.click(`#tool-${tool}`);
			await mouseStroke(page, [[0.52, 0.5], [0.54, 0.5]]);
			assert.equal(await verdict(page), '7', tool);
			const corner = await page.evaluate(() => {
				const canvas = document.querySelector('#seen-image');
				const copy = new OffscreenCanvas(28, 28).getContext('2d', { willReadFrequently: true });
				copy.drawImage(canvas, 0, 0);
				return copy.getImageData(0, 0, 3, 3).data.filter((_, i) => i % 4 === 0);
			});
			assert.ok(Object.values(corner).every((grey) => grey < 20), `${tool}: the corner is ${Object.values(corner)}`);
			await page.click('#clear');
			await cleared(page);
		}
	});
});

test('a generated picture is classified as it is', async () => {
	await onPage({ hash: '#generate' }, async (page) => {
		await waitState(page, '#generate', 'done');
		await page.click('#generate .picture >> nth=0');
		await page.waitForSelector('#card[open]');
		const asked = asks(page, '/v1/classify');
		await page.click('#card-classify');
		const query = new URL((await asked).url()).searchParams;
		assert.deepEqual([query.get('preprocess'), query.get('invert')], ['none', 'no']);
		await verdict(page);
		assert.match(await page.textContent('#framing'), /as it is/);
		// drawn on, it is a drawing like any other
		const again = asks(page, '/v1/classify');
		await mouseStroke(page, [[0.5, 0.5], [0.52, 0.52]]);
		assert.equal(new URL((await again).url()).searchParams.get('preprocess'), null);
		await verdict(page);
	});
});

test('the pad fits a phone in landscape, a zoomed window and a tablet; its tools stand in one line', async () => {
	for (const [width, height] of [[740, 360], [640, 450], [1024, 600]]) {
		await onPage({ width, height, hasTouch: true }, async (page) => {
			const box = await page.locator('#pad').boundingBox();
			assert.ok(box.height <= height - 100, `${box.height} of ${height} pixels`);
			assert.ok(box.height >= 190 && Math.abs(box.width - box.height) < 2, `${box.width} x ${box.height}`);
			const middles = await page.locator('.toolbar :is(button, input)').evaluateAll((nodes) => nodes.map((node) => {
				const { top, bottom } = node.getBoundingClientRect();
				return (top + bottom) / 2;
			}));
			assert.ok(Math.max(...middles) - Math.min(...middles) <= 0.5, `middles at ${middles}`);
		});
	}
});

test('on a phone, whoever asks for a digit sees the pictures', async () => {
	await onPage({ width: 360, height: 640, hash: '#generate', reducedMotion: 'reduce' }, async (page) => {
		await waitState(page, '#generate', 'done');
		await page.click('#generate [data-digits] button >> nth=3');
		const box = await page.locator('#generate [data-pictures]').boundingBox();
		assert.ok(box.y < 540, `the pictures begin at ${box.y}`);
		await waitState(page, '#generate', 'done');
	});
});

test('at 320 pixels every tab stays in its bar', async () => {
	await onPage({ width: 320, height: 640 }, async (page) => {
		const bar = await page.locator('.tabs').boundingBox();
		for (const tab of await page.locator('.tabs button').all()) {
			const box = await tab.boundingBox();
			assert.ok(box.x >= bar.x && box.x + box.width <= bar.x + bar.width + 0.5, await tab.textContent());
			const cut = await tab.evaluate((node) => node.scrollWidth - node.clientWidth);
			assert.ok(cut <= 0, `${await tab.textContent()} is cut off by ${cut} pixels`);
		}
	});
});

test('offline: the pad stays where it is, and nobody says that nothing is drawn', async () => {
	await onPage({ expected }, async (page) => {
		const before = await page.locator('#pad').boundingBox();
		await page.route('**/v1/classify*', (route) => route.abort('connectionrefused'));
		await mouseStroke(page, seven.strokes[0]);
		await page.waitForSelector('#notice:not([hidden])');
		assert.deepEqual(await page.locator('#pad').boundingBox(), before);
		assert.doesNotMatch(await page.textContent('#sure'), /Nothing drawn/);
		assert.equal(await page.textContent('#sure'), 'Waiting for the answer');
		await page.unroute('**/v1/classify*');
		await page.click('#notice-now').catch(() => {});
		await verdict(page);
	});
});

test('an answer that failed takes the one before with it', async () => {
	await onPage({ expected }, async (page) => {
		await drawOnPad(page, seven);
		await verdict(page);
		const body = JSON.stringify({ title: 'Invalid', status: 422, detail: 'The picture is blank.' });
		await page.route('**/v1/classify*', (route) =>
			route.fulfill({ status: 422, contentType: 'application/problem+json', body }));
		await mouseStroke(page, [[0.1, 0.9], [0.2, 0.9]]);
		await waitState(page, '#classify', 'failed');
		assert.match(await page.textContent('#classify-problem'), /blank/);
		assert.equal((await page.textContent('#verdict')).trim(), '');
		assert.doesNotMatch(await page.textContent('#sure'), /sure|Nothing drawn/);
	});
});

test('Escape in a field or at the answer does not clear the drawing', async () => {
	await onPage({}, async (page) => {
		await drawOnPad(page, seven);
		await verdict(page);
		for (const control of ['#pen-width', 'input[name=method] >> nth=0', '#upload']) {
			await page.focus(control);
			await page.keyboard.press('Escape');
			assert.ok(await page.isEnabled('#clear'), control);
		}
		await page.focus('#pad');
		await page.keyboard.press('Escape');
		await cleared(page);
	});
});

test('no answer is said to be 100 % sure', async () => {
	await onPage({}, async (page) => {
		await upload(page, fs.readFileSync(path.join(source, 'data/digits/0.png')));
		await verdict(page);
		assert.equal(await page.textContent('#sure'), '> 99.9 % sure');
	});
});

test('the curl line of a picture gives that picture', async () => {
	const { url } = await theDaemon();
	const give = async (command) => {
		const body = /--json '([^']*)'/.exec(command)[1];
		const target = /'(http[^']*)'/.exec(command)[1];
		const answer = await fetch(target, { method: 'POST', body, headers: { 'Content-Type': 'application/json' } });
		const value = await answer.json();
		assert.equal(answer.status, 200, JSON.stringify(value));
		const pictures = value.images ?? value.samples;
		assert.equal(pictures.length, 1);
		return pictures[0].b64_json;
	};
	await onPage({ permissions: ['clipboard-read', 'clipboard-write'] }, async (page) => {
		await drawLittle(page, { steps: 6 });
		for (const [tab, list, i] of [['generate', '#generate', 5], ['blend', '#strip', 13], ['sample', '#sample', 3]]) {
			await openTab(page, tab);
			await waitState(page, `#${tab}`, 'done');
			const answer = await page.evaluate(() => performance.now()) && page.locator(`${list} .picture`).nth(i);
			await answer.click();
			await page.waitForSelector('#card[open]');
			await page.click('#card-curl');
			await page.waitForFunction(() => document.querySelector('#card-live').textContent === 'Copied.');
			const base64 = await give(await page.evaluate(() => navigator.clipboard.readText()));
			const same = await page.evaluate(async (wanted) => {
				const pixels = async (source_) => {
					const bitmap = await createImageBitmap(source_);
					const context = new OffscreenCanvas(28, 28).getContext('2d');
					context.drawImage(bitmap, 0, 0);
					return context.getImageData(0, 0, 28, 28).data.join();
				};
				const bytes = Uint8Array.from(atob(wanted), (letter) => letter.charCodeAt(0));
				return await pixels(new Blob([bytes])) === await pixels(document.querySelector('#card-image'));
			}, base64);
			assert.ok(same, `${tab}: picture ${i}`);
			await page.keyboard.press('Escape');
		}
		assert.ok(url);
	});
});

test('page and curl have one guidance', async () => {
	const { defaults } = await (await fetch(`${(await theDaemon()).url}v1/model`)).json();
	await onPage({}, async (page) => {
		assert.equal(Number(await page.inputValue('#generate input[name=guidance]')), defaults.generate.guidance);
	});
});

test('Blend has no lock without effect, and a matrix of another seed does not stay', async () => {
	await onPage({ hash: '#blend?steps=2' }, async (page) => {
		await waitState(page, '#blend', 'done');
		assert.ok(await page.isHidden('#blend [data-lock]'));
		await page.click('#matrix-go');
		await waitState(page, '#matrix', 'done');
		await page.click('#blend [data-dice]');
		await waitState(page, '#blend', 'running', 'done');
		assert.equal(await page.locator('#matrix .picture:enabled').count(), 0);
		await waitState(page, '#blend', 'done');
	});
});

test('About: every curl line answers', async () => {
	await onPage({ hash: '#about' }, async (page) => {
		await waitState(page, '#about', 'done');
		const lines = await page.locator('#reference pre').allTextContents();
		assert.ok(lines.length > 10, `${lines.length} lines`);
		for (const line of lines.filter((text) => !/--json|-F /.test(text))) {
			const answer = await fetch(/'(http[^']*)'/.exec(line)[1]);
			assert.equal(answer.status, 200, line);
			await answer.body?.cancel();
		}
	});
});

test('the back button goes back to the tab before', async () => {
	await onPage({}, async (page) => {
		await openTab(page, 'about');
		await openTab(page, 'sample');
		await page.goBack();
		await page.waitForSelector('#about:not([hidden])');
		await page.goBack();
		await page.waitForSelector('#classify:not([hidden])');
	});
});

test('an address holds tab, label, sliders and seed; a reload keeps the drawing', async () => {
	await onPage({ hash: '#generate?class=3&seed=11&count=2&steps=4' }, async (page) => {
		const first = await page.waitForFunction(() => document.querySelector('#generate').dataset.state === 'done');
		assert.ok(first);
		assert.equal(await page.getAttribute('#generate [data-digits] button >> nth=3', 'aria-pressed'), 'true');
		assert.deepEqual(await page.locator('#generate .picture').count(), 2);
		const asked = asks(page, '/v1/generate');
		await page.locator('#generate [data-mixer] input').nth(6).focus();
		await page.keyboard.press('End');
		await asked;
		await waitState(page, '#generate', 'done');
		const address = new URL(page.url()).hash;
		assert.match(address, /^#generate\?.*seed=11/);
		assert.equal(new URLSearchParams(address.split('?')[1]).get('label'), '-1,-1,-1,1,-1,-1,1,-1,-1,-1');
		await openTab(page, 'classify');
		await drawOnPad(page, seven);
		assert.equal(await verdict(page), '7');
		await page.reload();
		await page.waitForSelector('html[data-ready]', { state: 'attached' });
		assert.equal(await verdict(page), '7');
	});
	await onPage({ hash: '#blend?from=3&to=8&position=5&seed=4&steps=3' }, async (page) => {
		await waitState(page, '#blend', 'done');
		assert.equal(await page.textContent('#blend-title'), 'Three Eight');
		assert.equal(await page.inputValue('#weight'), '5');
		assert.match(new URL(page.url()).hash, /from=3&to=8&position=5&seed=4/);
	});
});

test('the drawing and the sheet can be saved', async () => {
	const sizeOf = async (download) => {
		const png = fs.readFileSync(await (await download).path());
		assert.equal(png.subarray(1, 4).toString(), 'PNG');
		return [png.readUInt32BE(16), png.readUInt32BE(20)];
	};
	await onPage({}, async (page) => {
		await drawOnPad(page, seven);
		await verdict(page);
		const drawing = page.waitForEvent('download');
		await page.click('#save');
		assert.deepEqual(await sizeOf(drawing), [280, 280]);
		await openTab(page, 'generate');
		await waitState(page, '#generate', 'done');
		const sheet = page.waitForEvent('download');
		await page.click('#generate [data-save]');
		assert.deepEqual(await sizeOf(sheet), [4 * 114 + 2, 4 * 114 + 2]);
	});
});

test('one like mine, but a nine', async () => {
	await onPage({}, async (page) => {
		await drawOnPad(page, seven);
		await verdict(page);
		const asked = asks(page, '/v1/edit');
		await page.click('#like button >> nth=9');
		assert.equal(new URL((await asked).url()).searchParams.get('class'), '9');
		await page.waitForSelector('#card[open]');
		assert.equal(await page.textContent('#card-title'), 'Like yours, but a nine');
	});
});

test('two digits side by side are noticed, and so is what the server does not know', async () => {
	await onPage({}, async (page) => {
		await mouseStroke(page, [[0.3, 0.2], [0.3, 0.8]]);
		await verdict(page);
		assert.ok(await page.isHidden('#strange'));
		await mouseStroke(page, [[0.7, 0.2], [0.7, 0.8]]);
		await verdict(page);
		assert.match(await page.textContent('#strange'), /Two digits\?/);
		await page.click('#clear');
		await cleared(page);
		await page.route('**/v1/classify*', async (route) => {
			const answer = await route.fetch();
			await route.fulfill({ response: answer, json: { ...await answer.json(), familiarity: 0.03, unfamiliar: true } });
		});
		await mouseStroke(page, [[0.5, 0.2], [0.5, 0.8]]);
		await verdict(page);
		assert.equal(await page.textContent('#strange'), 'This does not look like a digit.');
		assert.equal(await page.evaluate(() => document.querySelector('#familiar meter').value), 0.03);
	});
});

test('About and /docs: every field has a meaning, within the limits of this server, and no foreign host', async () => {
	const { limits } = await (await fetch(`${(await theDaemon()).url}v1/model`)).json();
	const check = async (page) => {
		const empty = await page.locator('#reference td:last-child').evaluateAll((cells) =>
			cells.filter((cell) => !cell.textContent.trim()).map((cell) => cell.parentElement.textContent));
		assert.deepEqual(empty, []);
		const count = await page.locator('#reference tr:has(code:text-is("count"))').first().textContent();
		assert.ok(count.includes(`1 to ${limits.count}`), count);
	};
	await onPage({ hash: '#about' }, async (page) => {
		await waitState(page, '#about', 'done');
		await check(page);
	});
	for (const colorScheme of ['light', 'dark']) {
		await onPage({ hash: 'docs', colorScheme }, async (page) => {
			await check(page);
			await page.click('.route summary >> nth=0');
			await page.evaluate(axe);
			const { violations } = await page.evaluate(() => window.axe.run());
			assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), []);
		});
	}
});
