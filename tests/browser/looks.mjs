// How it looks and reads: pictures of every tab, axe, sizes, keyboard, reduced motion, the weight of the first paint.
import http from 'node:http';
import {
	assert, axe, drawLittle, drawOnPad, fs, onPage, openTab, path, pictures, source, test, theDaemon, verdict, waitState,
} from './support.mjs';
import { drawings } from './strokes.mjs';

const tabs = ['classify', 'stepwise', 'generate', 'blend', 'sample', 'about'];

// Brings a tab into the state that is worth a picture.
async function bring(page, tab) {
	await openTab(page, tab === 'stepwise' ? 'classify' : tab);
	if (tab === 'classify') {
		await drawOnPad(page, drawings.find(({ digit, how }) => digit === 2 && how === 'centred'));
		await verdict(page);
	} else if (tab === 'stepwise') {
		await page.check('input[value=sample]');
		await page.waitForFunction(() => document.querySelectorAll('#trajectory .line.win').length === 1);
		await verdict(page);
		const way = await page.getAttribute('#trajectory .line.win', 'points');
		assert.ok(way.split(' ').length >= 20, `the label's whole way is drawn: ${way}`);
	} else {
		await waitState(page, `#${tab}`, 'done');
	}
	if (tab === 'blend') {
		await page.click('#matrix-go');
		await waitState(page, '#matrix', 'done');
	}
	await page.mouse.move(0, 0);
	await page.evaluate(() => document.activeElement.blur());
}

for (const width of [360, 1600]) {
	for (const colorScheme of ['light', 'dark']) {
		const name = `every tab at ${width} pixels, ${colorScheme}: a picture, no violation that axe finds, nothing cut off`;
		test(name, async () => {
			// Steady pictures: no motion, and seeds that do not change.
			await onPage({ width, height: width === 360 ? 740 : 1000, colorScheme, reducedMotion: 'reduce' }, async (page) => {
				await drawLittle(page, { steps: 4 });
				for (const tab of tabs) {
					await bring(page, tab);
					await page.screenshot({ path: path.join(pictures, `${tab}-${width}-${colorScheme}.png`), fullPage: true });
					const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
					assert.ok(wide <= 0, `${tab} is ${wide} pixels too wide`);
					await page.evaluate(axe);
					const { violations, passes } = await page.evaluate(() => window.axe.run());
					assert.ok(passes.length > 10, 'axe did look');
					assert.deepEqual(violations.map(({ id, nodes }) => `${tab}: ${id}: ${nodes[0].html}`), []);
				}
				await openTab(page, 'generate');
				await page.click('#generate .picture >> nth=0');
				await page.waitForSelector('#card[open]');
				await page.evaluate(axe);
				const { violations } = await page.evaluate(() => window.axe.run());
				assert.deepEqual(violations.map(({ id, nodes }) => `card: ${id}: ${nodes[0].html}`), []);
				await page.screenshot({ path: path.join(pictures, `card-${width}-${colorScheme}.png`) });
			});
		});
	}
}

test('every control is reached by keyboard and shows that it is focused', async () => {
	await onPage({}, async (page) => {
		await page.focus('#tab-classify');
		const way = [['ArrowRight', 'generate'], ['ArrowRight', 'blend'], ['End', 'about'], ['ArrowRight', 'classify'],
			['ArrowLeft', 'about'], ['ArrowLeft', 'sample'], ['Home', 'classify']];
		for (const [key, name] of way) {
			await page.keyboard.press(key);
			assert.equal(await page.evaluate(() => document.activeElement.id), `tab-${name}`);
			assert.ok(await page.isVisible(`#${name}`));
		}
		for (const tab of ['classify', 'generate', 'blend', 'sample', 'about']) {
			await openTab(page, tab);
			if (tab !== 'classify') {
				await waitState(page, `#${tab}`, 'done');
			}
			await page.focus(`#tab-${tab}`);
			const wanted = await page.evaluate((id) => {
				const kinds = 'button, input, select, canvas[tabindex], summary, a[href]';
				const nodes = [...document.querySelectorAll(`#${id} :is(${kinds})`)];
				const list = nodes.filter((node) => node.checkVisibility() && !node.disabled && node.type !== 'file'
					&& !(node.type === 'radio' && !node.checked));
				list.forEach((node) => { node.dataset.wanted = ''; });
				return list.length;
			}, tab);
			let reached = 0;
			for (let i = 0; i < wanted + 20; i++) {
				await page.keyboard.press('Tab');
				const { counts, outlined, html } = await page.evaluate(() => {
					const node = document.activeElement;
					const counts_ = 'wanted' in node.dataset;
					delete node.dataset.wanted;
					const shown = node.type === 'radio' ? node.nextElementSibling : node;
					const outlined_ = getComputedStyle(shown).outlineStyle !== 'none';
					return { counts: counts_, outlined: outlined_, html: node.outerHTML.slice(0, 90) };
				});
				if (counts) {
					reached++;
					assert.ok(outlined, `no visible focus: ${html}`);
				}
			}
			const missed = await page.evaluate(() =>
				[...document.querySelectorAll('[data-wanted]')].map((node) => node.outerHTML.slice(0, 90)));
			assert.deepEqual(missed, [], `${tab}: not reached`);
			assert.equal(reached, wanted);
		}
	});
});

test('with reduced motion nothing moves on its way', async () => {
	await onPage({ hash: '#generate', reducedMotion: 'reduce' }, async (page) => {
		await waitState(page, '#generate', 'done');
		const moving = await page.evaluate(() => [...document.querySelectorAll('*')].filter((node) => {
			const style = getComputedStyle(node);
			const glides = style.transitionDuration !== '0s' && style.transitionProperty !== 'none';
			return glides || style.animationName !== 'none';
		}).length);
		assert.equal(moving, 0);
	});
});

test('About tells the model, its checksum and accuracy, the version, and the interface', async () => {
	await onPage({ hash: '#about' }, async (page) => {
		await waitState(page, '#about', 'done');
		const facts = await page.textContent('#facts');
		const { url } = await theDaemon();
		const model = await (await fetch(`${url}v1/model`)).json();
		const version = await (await fetch(`${url}version`)).json();
		assert.ok(facts.includes(model.checksum), facts);
		assert.ok(facts.includes(version.version), facts);
		assert.match(facts, /Accuracy(, held out)?\s*\d\d\.\d+ %/);
		const api = await (await fetch(`${url}openapi.json`)).json();
		const routes = Object.values(api.paths).reduce((sum, item) =>
			sum + ['get', 'post', 'put', 'delete'].filter((method) => item[method]).length, 0);
		assert.equal(await page.locator('#reference .route').count(), routes);
		await page.locator('.route:has(.path:text-is("/v1/generate")):has(.method:text-is("POST")) > summary').click();
		assert.ok(await page.locator('.route[open] td code:text-is("guidance")').isVisible());
		assert.match(await page.locator('.route[open] pre').textContent(), /^curl /);
	});
});

test('the first paint needs less than 60 kB', async (t) => {
	await onPage({}, async (page) => {
		const session = await page.context().newCDPSession(page);
		await session.send('Network.enable');
		await session.send('Network.setCacheDisabled', { cacheDisabled: true });
		let bytes = 0;
		session.on('Network.loadingFinished', ({ encodedDataLength }) => { bytes += encodedDataLength; });
		await page.reload({ waitUntil: 'networkidle' });
		t.diagnostic(`${bytes} bytes with headers, everything that the page loads`);
		assert.ok(bytes > 5000 && bytes < 60000, `${bytes} bytes`);
	});
});

// The bytes as they travel: no fetch(), which unpacks.
function get(url, headers) {
	return new Promise((resolve, reject) => http.get(url, { headers, agent: false }, (response) => {
		const parts = [];
		response.on('data', (part) => parts.push(part)).on('end', () =>
			resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(parts) }));
	}).on('error', reject));
}

test('a second visit, mostly from the cache, works as the first', async () => {
	await onPage({}, async (page) => {
		for (let i = 0; i < 2; i++) {
			await page.reload();
			await page.waitForSelector('html[data-ready]', { state: 'attached' });
			await page.click('#real button >> nth=1');
			await verdict(page);
		}
	});
});

test('every file of the page is served compressed where that helps, with an ETag that gives 304', async () => {
	const { url } = await theDaemon();
	const files = fs.readdirSync(path.join(source, 'web')).filter((name) => /\.(js|css|svg|html)$/.test(name));
	assert.ok(files.length >= 12);
	for (const name of ['', ...files, 'digits/7.png']) {
		const answer = await get(url + name, { 'Accept-Encoding': 'gzip' });
		assert.equal(answer.status, 200, name);
		assert.ok(answer.headers.etag, `${name} has an ETag`);
		assert.match(answer.headers['cache-control'] ?? '', /no-cache|max-age=\d{5,}/, name);
		if (!name.endsWith('.png') && answer.body.length > 1000) {
			assert.equal(answer.headers['content-encoding'], 'gzip', name);
		}
		const again = await get(url + name, { 'Accept-Encoding': 'gzip', 'If-None-Match': answer.headers.etag });
		assert.equal(again.status, 304, name);
		// A 304's fields replace those that the browser has stored; another policy there would break the next visit.
		const kept = again.headers['content-security-policy'];
		assert.ok(kept === undefined || kept === answer.headers['content-security-policy'], `${name}: ${kept}`);
		const plain = await get(url + name, {});
		assert.equal(plain.headers['content-encoding'], undefined);
	}
	const page = await get(url, {});
	const policy = page.headers['content-security-policy'];
	assert.match(policy, /default-src 'none'/);
	assert.doesNotMatch(policy, /unsafe-inline|unsafe-eval|https?:/);
});
