// When things do not go well: full queue, lost connection, key wanted, bad values; and a proxy's sub-path.
import http from 'node:http';
import {
	Daemon, assert, drawLittle, fillIn, fs, mouseStroke, onPage, openTab, path, sleep, test, theBrowser, theDaemon, verdict,
	waitState, withPage,
} from './support.mjs';

const seven = [[0.25, 0.2], [0.75, 0.2], [0.45, 0.85]];
// Chromium itself writes these lines for an answer of 4xx or 5xx and for a connection that breaks.
const expected = [/Failed to load resource/];

// A daemon for one test only, whatever becomes of the test.
async function withDaemon(options, use) {
	const daemon = new Daemon(options);
	try {
		await daemon.start();
		await use(daemon);
	} finally {
		await daemon.remove();
	}
}

const state = (page) => page.getAttribute('#pill', 'data-state');

test('503: the countdown is shown, and the answer comes when there is room', async () => {
	await withDaemon({ queue_capacity: 3000, max_steps: 1000 }, async (daemon) => {
		await withPage(await theBrowser(), daemon.url, { expected }, async (page) => {
			// Fills the queue by streams of its own until the page has met a full one.
			const stop = new AbortController();
			const fill = () => fetch(`${daemon.url}v1/generate`, {
				method: 'POST', signal: stop.signal,
				headers: { 'Content-Type': 'application/json', Accept: 'text/event-stream' },
				body: JSON.stringify({ digit: 1, count: 3, steps: 1000, seed: 1 }),
			}).then((response) => response.text()).catch(() => {});
			const first = fill();
			await sleep(200);
			await openTab(page, 'generate');
			await page.waitForSelector('#notice:not([hidden])');
			assert.equal(await state(page), 'busy');
			assert.match(await page.textContent('#notice-count'), /Trying again/);
			assert.notEqual((await page.textContent('#notice-text')).trim(), '');
			stop.abort();
			await first;
			await page.click('#notice-now').catch(() => {});
			await waitState(page, '#generate', 'done');
			assert.equal(await state(page), 'ready');
			assert.ok(await page.isHidden('#notice'));
		});
	});
});

test('work that is too long for the server is told, not asked again and again', async () => {
	await withDaemon({ request_timeout_ms: 2000, queue_capacity: 100000 }, async (daemon) => {
		await withPage(await theBrowser(), daemon.url, { expected }, async (page) => {
			let asked = 0;
			page.on('request', (request) => { asked += request.url().endsWith('/v1/generate'); });
			await page.evaluate(() => {
				document.querySelector('#generate input[name=count]').value = '128';
				document.querySelector('#generate input[name=steps]').value = '200';
			});
			await openTab(page, 'generate');
			await waitState(page, '#generate', 'failed');
			assert.match(await page.textContent('#generate .problem'), /2000 ms/);
			assert.equal(asked, 1);
			assert.equal(await state(page), 'ready');
		});
	});
});

test('a lost connection is shown and recovered from, also in the middle of a stream', async () => {
	await withDaemon({}, async (daemon) => {
		await withPage(await theBrowser(), daemon.url, { expected }, async (page) => {
			daemon.options.listen_port = daemon.port;
			await daemon.stop('SIGKILL');
			await mouseStroke(page, seven);
			await page.waitForSelector('#notice:not([hidden])');
			assert.equal(await state(page), 'offline');
			assert.match(await page.textContent('#notice-text'), /connection/);
			await daemon.start();
			assert.match(await verdict(page), /^\d$/);
			assert.equal(await state(page), 'ready');
			assert.ok(await page.isHidden('#notice'));

			await openTab(page, 'generate');
			await waitState(page, '#generate', 'done');
			await page.fill('#generate input[name=count]', '16');
			await fillIn(page, '#generate input[name=steps]', '60');
			await page.click('#generate button[type=submit]');
			await page.waitForFunction(() => document.querySelector('#generate progress').value > 20);
			await daemon.stop('SIGKILL');
			await page.waitForSelector('#notice:not([hidden])');
			assert.equal(await state(page), 'offline');
			await daemon.start();
			await page.click('#notice-now').catch(() => {});
			await waitState(page, '#generate', 'done');
			assert.equal(await page.locator('#generate .picture:enabled').count(), 16);

			// Whoever gives up waiting still learns that the server is back.
			await daemon.stop('SIGKILL');
			await page.click('#generate button[type=submit]');
			await page.waitForSelector('#notice:not([hidden])');
			await page.click('#generate [data-cancel]');
			await waitState(page, '#generate', 'cancelled');
			await daemon.start();
			await page.waitForSelector('#notice', { state: 'hidden' });
			assert.equal(await state(page), 'ready');
		});
	});
});

test('a page that is opened while the daemon is away shows it and starts when it is back', async () => {
	await withDaemon({}, async (daemon) => {
		const browser = await theBrowser();
		const context = await browser.newContext();
		context.setDefaultTimeout(90000);
		try {
			const page = await context.newPage();
			let away = true;
			await page.route('**/v1/model', (route) => (away ? route.abort('connectionrefused') : route.continue()));
			await page.goto(daemon.url);
			await page.waitForSelector('#notice:not([hidden])');
			assert.equal(await state(page), 'offline');
			away = false;
			await page.waitForSelector('html[data-ready]', { state: 'attached' });
			assert.equal(await state(page), 'ready');
		} finally {
			await context.close();
		}
	});
});

test('a key is asked for, kept in memory only, and a wrong one is refused', async () => {
	const daemon = new Daemon();
	const keys = path.join(daemon.folder, 'keys');
	fs.writeFileSync(keys, 'correct-horse-battery-staple-42\n', { mode: 0o600 });
	daemon.options.key_file = keys;
	const context = await (await theBrowser()).newContext();
	context.setDefaultTimeout(90000);
	try {
		await daemon.start();
		const page = await context.newPage();
		await page.goto(daemon.url);
		await page.waitForSelector('#key[open]');
		assert.equal(await state(page), 'locked');
		await page.fill('#key-value', 'not-the-right-key-at-all-000000');
		await page.press('#key-value', 'Enter');
		await page.waitForFunction(() => /not accepted/.test(document.querySelector('#key-text').textContent)
			&& document.querySelector('#key').open);
		await page.fill('#key-value', 'correct-horse-battery-staple-42');
		await page.press('#key-value', 'Enter');
		await page.waitForSelector('html[data-ready]', { state: 'attached' });
		await mouseStroke(page, seven);
		assert.match(await verdict(page), /^\d$/);
		assert.match(await page.textContent('#classify pre'), /Bearer \$JOINTFLOW_KEY/);
		const kept = await page.evaluate(() =>
			[localStorage.length, sessionStorage.length, document.cookie, document.documentElement.outerHTML]);
		assert.deepEqual(kept.slice(0, 3), [0, 0, '']);
		assert.ok(!kept[3].includes('correct-horse'));
		await page.reload();
		await page.waitForSelector('#key[open]');
	} finally {
		await context.close();
		await daemon.remove();
	}
});

test('the words of a problem stand next to the field they are about', async () => {
	await onPage({ hash: '#generate', expected }, async (page) => {
		await waitState(page, '#generate', 'done');
		await fillIn(page, '#generate input[name=steps]', '100000');
		await page.click('#generate button[type=submit]');
		await waitState(page, '#generate', 'failed');
		const field = page.locator('#generate input[name=steps]');
		assert.equal(await field.getAttribute('aria-invalid'), 'true');
		const id = await field.getAttribute('aria-describedby');
		assert.match(await page.textContent(`#${id}`), /\d/);
		assert.ok(await page.isVisible(`#${id}`));
		await fillIn(page, '#generate input[name=steps]', '5');
		await page.fill('#generate input[name=seed]', 'seven');
		await page.click('#generate button[type=submit]');
		await page.waitForSelector('#generate input[name=seed][aria-invalid=true]');
		assert.equal(await field.getAttribute('aria-invalid'), null);
		await page.fill('#generate input[name=seed]', '7');
		await page.click('#generate button[type=submit]');
		await waitState(page, '#generate', 'running');
		await waitState(page, '#generate', 'done');
		assert.equal(await page.locator('#generate [aria-invalid]').count(), 0);
	});
});

test('it works below a path of a proxy', async () => {
	const target = new URL((await theDaemon()).url);
	const proxy = http.createServer((request, response) => {
		if (!request.url.startsWith('/digits/')) {
			response.writeHead(404).end();
			return;
		}
		const onward = http.request({
			host: target.hostname, port: target.port, method: request.method, path: request.url.slice('/digits'.length),
			headers: { ...request.headers, host: target.host, ...(request.headers.origin && { origin: target.origin }) },
		}, (answer) => {
			response.writeHead(answer.statusCode, answer.headers);
			answer.pipe(response);
		});
		onward.on('error', () => response.destroy());
		response.on('close', () => onward.destroy());
		request.pipe(onward);
	});
	await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
	try {
		const url = `http://127.0.0.1:${proxy.address().port}/digits/`;
		await withPage(await theBrowser(), url, {}, async (page) => {
			await page.click('#real button >> nth=8');
			assert.match(await verdict(page), /^\d$/);
			await drawLittle(page);
			for (const tab of ['generate', 'blend', 'sample', 'about']) {
				await openTab(page, tab);
				await waitState(page, `#${tab}`, 'done');
			}
			assert.match(await page.textContent('#generate pre'), /\/digits\/v1\/generate/);
		});
	} finally {
		proxy.closeAllConnections?.();
		await new Promise((resolve) => proxy.close(resolve));
	}
});

test('a name that every object has is no tab', async () => {
	await withPage(await theBrowser(), `${(await theDaemon()).url}#toString`, { expected }, async (page) => {
		await page.waitForSelector('#classify:not([hidden])');
	});
});

test('a real digit that does not come at once is asked for again', async () => {
	await withPage(await theBrowser(), (await theDaemon()).url, { expected }, async (page) => {
		let asked = 0;
		await page.route('**/digits/3.png', (route) => (asked++ ? route.continue() : route.abort()));
		await page.click('#real button >> nth=3');
		await waitState(page, '#classify', 'answered');
		assert.equal(asked, 2);
	});
});

test('the blend of another pair does not show the one before under its names', async () => {
	await withPage(await theBrowser(), (await theDaemon()).url, { expected }, async (page) => {
		await drawLittle(page);
		await openTab(page, 'blend');
		await waitState(page, '#blend', 'done');
		const shown = () => page.evaluate(() => document.querySelector('#morph').toDataURL());
		const before = await shown();
		await page.route('**/v1/blend', () => {}); // nothing comes any more
		await page.click('#swap');
		assert.notEqual(await shown(), before);
	});
});
