// What the browser tests share: the real daemon on a port of its own, Chromium, a page that reports everything that
// should not happen, and the ways of drawing on it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import nodeTest from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

// No test waits for ever.
export const test = (name, use) => nodeTest(name, { timeout: 300000 }, use);

const need = (name) =>
	process.env[name] ?? assert.fail(`${name} is not set: run these tests by tests/browser/browser.sh`);
export const source = need('top_srcdir');
export const build = need('top_builddir');
const require = createRequire(path.join(need('JF_NODE_PROJECT'), 'package.json'));
const { chromium } = require('playwright-core');
export const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
export const pictures = path.join(build, 'tests/browser/pictures');

// --- the daemon ----------------------------------------------------------------------------------------------------

// Whatever happens to this process, its daemons end with it.
const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
	process.on(signal, () => process.exit(1));
}

export class Daemon {
	// options: configuration keys; listen_port 0 takes a free port, which start() reads from the log.
	constructor(options = {}) {
		this.options = {
			listen_address: '127.0.0.1', listen_port: 0, workers: 1, log_format: 'text', request_timeout_ms: 300000,
			model: process.env.JF_MODEL ?? path.join(source, 'models/mnist.safetensors'), ...options,
		};
		this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'jf-browser-'));
		this.log = '';
	}

	get url() {
		return `http://127.0.0.1:${this.port}/`;
	}

	async start() {
		const file = path.join(this.folder, 'jointflowd.conf');
		fs.writeFileSync(file, Object.entries(this.options).map(([key, value]) => `${key} = ${value}\n`).join(''));
		const from = this.log.length;
		this.child = spawn(path.join(build, 'jointflowd'), [`--config=${file}`], { stdio: ['ignore', 'ignore', 'pipe'] });
		running.add(this.child);
		this.child.stderr.setEncoding('utf8').on('data', (text) => { this.log += text; });
		this.ended = new Promise((resolve) => this.child.once('exit', resolve));
		for (let i = 0; i < 1200; i++) {
			assert.equal(this.child.exitCode, null, `jointflowd ended:\n${this.log}`);
			this.port = Number(/127\.0\.0\.1:(\d+)/.exec(this.log.slice(from))?.[1]) || 0;
			if (this.port && (await fetch(`${this.url}readyz`).catch(() => null))?.ok) {
				return this;
			}
			await sleep(50);
		}
		assert.fail(`jointflowd is not ready after 60 s:\n${this.log}`);
	}

	async stop(signal = 'SIGTERM') {
		if (this.child?.exitCode === null && this.child.signalCode === null) {
			this.child.kill(signal);
			const timer = setTimeout(() => this.child.kill('SIGKILL'), 10000);
			await this.ended;
			clearTimeout(timer);
		}
		running.delete(this.child);
	}

	async remove() {
		await this.stop();
		fs.rmSync(this.folder, { recursive: true, force: true });
	}
}

// Waiting for something ends after this; generous, for machines that do other work too.
const PATIENCE_MS = 90000;

// --- the browser ---------------------------------------------------------------------------------------------------

export async function launch() {
	const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find((file) => fs.existsSync(file));
	assert.ok(executablePath, 'Chromium is missing: packaging/deps.sh browser');
	return chromium.launch({ executablePath, args: process.getuid() === 0 ? ['--no-sandbox'] : [] });
}

// A page of its own with nobody else's state. expected: console errors that the test provokes.
async function visit(browser, url, { hash = '', expected = [], width = 1280, height = 900, ...context } = {}) {
	const own = await browser.newContext({ viewport: { width, height }, ...context });
	own.setDefaultTimeout(PATIENCE_MS);
	const page = await own.newPage();
	const host = new URL(url).host;
	page.complaints = [];
	page.on('console', (message) => {
		if (['error', 'warning'].includes(message.type()) && !expected.some((words) => words.test(message.text()))) {
			page.complaints.push(`console ${message.type()}: ${message.text()}`);
		}
	});
	page.on('pageerror', (error) => page.complaints.push(`uncaught: ${error.stack}`));
	page.on('request', (request) => {
		const target = new URL(request.url());
		if (!['blob:', 'data:'].includes(target.protocol) && target.host !== host) {
			page.complaints.push(`request to another host: ${request.url()}`);
		}
	});
	await page.exposeFunction('reportViolation', (text) => { page.complaints.push(`CSP violation: ${text}`); });
	await page.addInitScript(() => document.addEventListener('securitypolicyviolation', (event) =>
		window.reportViolation(`${event.violatedDirective} ${event.blockedURI}`)));
	await page.goto(`${url}${hash}`);
	await page.waitForSelector('html[data-ready]', { state: 'attached' });
	return page;
}

// Runs use(page); a page that complained fails the test even when everything else went well.
export async function withPage(browser, url, options, use) {
	const page = await visit(browser, url, options);
	try {
		await use(page);
	} finally {
		await page.context().close();
	}
	assert.deepEqual(page.complaints, []);
}

// The daemon and the browser that most tests share.
const shared = {};
export async function theBrowser() {
	shared.browser ??= launch();
	return shared.browser;
}
export async function theDaemon() {
	shared.daemon ??= new Daemon().start();
	return shared.daemon;
}
export async function closeShared() {
	await (await shared.browser)?.close();
	await (await shared.daemon)?.remove();
}

export const onPage = async (options, use) => withPage(await theBrowser(), (await theDaemon()).url, options, use);

// Waits until a panel (#generate, #matrix ...) says one of these states.
export const waitState = (page, selector, ...states) => page.waitForFunction(
	({ selector: selector_, states: states_ }) => states_.includes(document.querySelector(selector_).dataset.state),
	{ selector, states });
export const stateOf = (page, selector) => page.getAttribute(selector, 'data-state');

// Opens what is folded around a control: what is needed rarely stands under "Advanced".
export const unfold = (page, selector) => page.locator(selector).first().evaluate((node) => {
	const folded = node.closest('details');
	if (folded) {
		folded.open = true;
	}
});
export async function fillIn(page, selector, value) {
	await unfold(page, selector);
	await page.fill(selector, value);
}

// Before generate, blend and sample are opened: they draw in few steps, and little at once.
export const drawLittle = (page, few = { steps: 3, count: 2 }) => page.evaluate((values) => {
	for (const [name, value] of Object.entries(values)) {
		document.querySelectorAll(`:is(#generate, #blend, #sample) input[name=${name}]`)
			.forEach((input) => { input.value = value; });
	}
}, few);

export const openTab = (page, name) => page.click(`#tab-${name}`);

// --- drawing -------------------------------------------------------------------------------------------------------

async function padBox(page) {
	await page.locator('#pad').scrollIntoViewIfNeeded();
	return page.locator('#pad').boundingBox();
}

const place = (box, [x, y]) => ({ x: box.x + x * box.width, y: box.y + y * box.height });

export async function setWidth(page, width) {
	await page.locator('#pen-width').fill(String(width));
}

// Real mouse and touch events through the browser's own input path; all of a stroke are under way at once, so that a
// slow machine does not wait for each of them in turn.
async function dispatch(page, messages) {
	page.input ??= await page.context().newCDPSession(page);
	await Promise.all(messages.map(([method, parameters]) => page.input.send(method, parameters)));
}

export async function mouseStroke(page, stroke) {
	const box = await padBox(page);
	const points = stroke.map((point) => place(box, point));
	const event = (type, point, buttons) =>
		['Input.dispatchMouseEvent', { type, ...point, button: 'left', buttons, clickCount: 1 }];
	await dispatch(page, [
		event('mousePressed', points[0], 1),
		...points.slice(1).map((point) => event('mouseMoved', point, 1)),
		event('mouseReleased', points.at(-1), 0),
	]);
}

export async function touchStroke(page, stroke) {
	const box = await padBox(page);
	const event = (type, points) =>
		['Input.dispatchTouchEvent', { type, touchPoints: points.map((point) => place(box, point)) }];
	await dispatch(page, [
		event('touchStart', [stroke[0]]),
		...stroke.slice(1).map((point) => event('touchMove', [point])),
		event('touchEnd', []),
	]);
}

// The drawing as a PNG of 300 x 300 in its own greys, painted by the browser.
export async function greyPng(page, { strokes, width, ink, paper }) {
	const base64 = await page.evaluate(async ({ strokes, width, ink, paper }) => {
		const canvas = new OffscreenCanvas(300, 300);
		const context = canvas.getContext('2d');
		context.fillStyle = `rgb(${paper} ${paper} ${paper})`;
		context.fillRect(0, 0, 300, 300);
		context.strokeStyle = `rgb(${ink} ${ink} ${ink})`;
		context.lineWidth = width * 300 / 280;
		context.lineCap = context.lineJoin = 'round';
		for (const stroke of strokes) {
			context.beginPath();
			stroke.forEach(([x, y]) => context.lineTo(300 * x, 300 * y));
			context.stroke();
		}
		const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: 'image/png' })).arrayBuffer());
		return btoa(String.fromCharCode(...bytes));
	}, { strokes, width, ink, paper });
	return Buffer.from(base64, 'base64');
}

export const upload = (page, buffer, name = 'digit.png', mimeType = 'image/png') =>
	page.locator('#file').setInputFiles({ name, mimeType, buffer });

export async function drawOnPad(page, drawing) {
	if (drawing.by === 'upload') {
		await upload(page, await greyPng(page, drawing));
		return;
	}
	await setWidth(page, drawing.width);
	for (const stroke of drawing.strokes) {
		await (drawing.by === 'touch' ? touchStroke : mouseStroke)(page, stroke);
	}
}

// The answer once the page has settled: nothing asked, nothing drawn.
export async function verdict(page) {
	await page.waitForFunction(() => document.querySelector('#classify').dataset.state === 'answered');
	return (await page.textContent('#verdict')).trim();
}

export const cleared = (page) =>
	page.waitForFunction(() => document.querySelector('#classify').dataset.state === 'empty');

// A digest of what a canvas shows.
export const look = (page, selector) =>
	page.evaluate((selector_) => document.querySelector(selector_).toDataURL(), selector);

// How many pixels of the pad carry ink.
export const inked = (page) => page.evaluate(() => {
	const canvas = document.querySelector('#pad');
	const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
	copy.drawImage(canvas, 0, 0);
	const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
	let count = 0;
	for (let i = 3; i < data.length; i += 4) {
		count += data[i] > 0;
	}
	return count / (canvas.width * canvas.height);
});

export { assert, fs, path, sleep };
