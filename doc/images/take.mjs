// The pictures of doc/images that need a running daemon: the page in Chromium, and denoising as an animated PNG. Run by
// doc/images/make.
import zlib from 'node:zlib';
import {
	Daemon, closeShared, drawOnPad, fs, onPage, openTab, path, theBrowser, verdict, waitState,
} from '../../tests/browser/support.mjs';
import { drawings } from '../../tests/browser/strokes.mjs';

const two = drawings.find(({ digit, how }) => digit === 2 && how === 'centred');
const tabs = ['classify', 'stepwise', 'generate', 'blend', 'sample', 'about'];

// --- the page ------------------------------------------------------------------------------------------------------

// Brings a tab into the state that is worth a picture.
async function bring(page, tab, matrix = true) {
	page.setDefaultTimeout(900000); // however busy the machine is
	await openTab(page, tab === 'stepwise' ? 'classify' : tab);
	if (tab === 'classify') {
		await drawOnPad(page, two);
		await verdict(page);
	} else if (tab === 'stepwise') {
		await page.evaluate(() => { document.querySelector('#stepwise input[name=seed]').value = '1'; });
		await page.check('input[value=sample]');
		await page.waitForSelector('#trajectory .line.win', { state: 'attached' });
		await verdict(page);
	} else {
		await waitState(page, `#${tab}`, 'done');
	}
	if (tab === 'blend' && matrix) {
		await page.click('#matrix-go');
		await waitState(page, '#matrix', 'done');
	}
	await page.mouse.move(0, 0);
	await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
}

async function take(folder, sizes, wanted, nameOf, fullPage) {
	for (const [width, height] of sizes) {
		for (const colorScheme of ['light', 'dark']) {
			await onPage({ width, height, colorScheme, reducedMotion: 'reduce' }, async (page) => {
				for (const tab of tabs) {
					if (tab === 'classify' || wanted.includes(tab)) {
						await bring(page, tab);
						if (wanted.includes(tab)) {
							await page.screenshot({ path: path.join(folder, nameOf(tab, width, colorScheme)), fullPage });
						}
					}
				}
			});
		}
	}
}

// Screens of a phone side by side.
async function phones(folder) {
	for (const colorScheme of ['light', 'dark']) {
		const screens = [];
		await onPage({ width: 360, height: 740, colorScheme, reducedMotion: 'reduce' }, async (page) => {
			for (const tab of ['classify', 'generate', 'blend', 'sample', 'about']) {
				await bring(page, tab, false);
				screens.push((await page.screenshot()).toString('base64'));
			}
		});
		const page = await (await theBrowser()).newPage({ viewport: { width: 5 * 372 + 12, height: 764 } });
		const background = colorScheme === 'dark' ? '#000' : '#ddd';
		await page.setContent(`<body style="margin:12px;display:flex;gap:12px;background:${background}">${
			screens.map((screen) => `<img src="data:image/png;base64,${screen}">`).join('')}`);
		await page.screenshot({ path: path.join(folder, `phone-${colorScheme}.png`) });
		await page.close();
	}
}

// --- the animated PNG ----------------------------------------------------------------------------------------------

const steps = 40;
const columns = 8;
const rows = 2;
const scale = 3;
const gap = 2;

function chunk(name, data) {
	const bytes = Buffer.concat([Buffer.alloc(4), Buffer.from(name), data, Buffer.alloc(4)]);
	bytes.writeUInt32BE(data.length);
	bytes.writeUInt32BE(zlib.crc32 ? zlib.crc32(bytes.subarray(4, -4)) : crc32(bytes.subarray(4, -4)), bytes.length - 4);
	return bytes;
}

function crc32(bytes) {
	let crc = ~0;
	for (const byte of bytes) {
		crc ^= byte;
		for (let bit = 0; bit < 8; bit++) {
			crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
		}
	}
	return ~crc >>> 0;
}

const numbers = (...values) => {
	const bytes = Buffer.alloc(4 * values.length);
	values.forEach((value, i) => bytes.writeUInt32BE(value, 4 * i));
	return bytes;
};

// frames: [{ grey, ms }], each width x height; https://www.w3.org/TR/png-3/#apng-frame-based-animation
function animatedPng(frames, width, height) {
	const parts = [
		Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
		chunk('IHDR', Buffer.concat([numbers(width, height), Buffer.from([8, 0, 0, 0, 0])])),
		chunk('acTL', numbers(frames.length, 0)),
	];
	let sequence = 0;
	for (const { grey, ms } of frames) {
		const delay = Buffer.from([ms >> 8, ms & 255, 1000 >> 8, 1000 & 255, 0, 0]);
		parts.push(chunk('fcTL', Buffer.concat([numbers(sequence++, width, height, 0, 0), delay])));
		const lines = Buffer.alloc(height * (width + 1));
		for (let y = 0; y < height; y++) {
			grey.copy(lines, y * (width + 1) + 1, y * width, (y + 1) * width);
		}
		const data = zlib.deflateSync(lines, { level: 9, memLevel: 9 });
		parts.push(sequence === 1 ? chunk('IDAT', data) : chunk('fdAT', Buffer.concat([numbers(sequence++), data])));
	}
	return Buffer.concat([...parts, chunk('IEND', Buffer.alloc(0))]);
}

// A sheet of two rows for each digit in turn: noise, every step, and the finished digits for a while.
async function denoising(file) {
	const daemon = await new Daemon().start();
	try {
		const width = columns * (28 * scale + gap) + gap;
		const height = rows * (28 * scale + gap) + gap;
		const sheets = Array.from({ length: steps }, () => Buffer.alloc(width * height, 64));
		const page = await (await theBrowser()).newPage();
		const put = async (step, item, base64) => {
			const pixels = await page.evaluate(async (png) => {
				const bitmap = await createImageBitmap(await (await fetch(`data:image/png;base64,${png}`)).blob());
				const context = new OffscreenCanvas(28, 28).getContext('2d');
				context.drawImage(bitmap, 0, 0);
				return [...context.getImageData(0, 0, 28, 28).data.filter((_, i) => i % 4 === 0)];
			}, base64);
			const left = gap + item % columns * (28 * scale + gap);
			const top = gap + Math.floor(item / columns) * (28 * scale + gap);
			for (let y = 0; y < 28 * scale; y++) {
				for (let x = 0; x < 28 * scale; x++) {
					sheets[step - 1][(top + y) * width + left + x] =
						pixels[Math.floor(y / scale) * 28 + Math.floor(x / scale)];
				}
			}
		};
		for (let digit = 0; digit < columns; digit++) {
			const answer = await fetch(`${daemon.url}v1/generate`, {
				method: 'POST', headers: { 'Content-Type': 'application/json', Accept: 'text/event-stream' },
				body: JSON.stringify({ digit: digit + 2, count: rows, steps, seed: 1 }),
			});
			for (const [, data] of (await answer.text()).matchAll(/event: ?step\ndata: ?(.*)\n/g)) {
				const { item, step, image } = JSON.parse(data);
				await put(step, item * columns + digit, image);
			}
		}
		await page.close();
		const frames = sheets.map((grey, i) => ({ grey, ms: i === steps - 1 ? 2500 : 70 }));
		fs.writeFileSync(file, animatedPng(frames, width, height));
	} finally {
		await daemon.remove();
	}
}

const [how, folder] = process.argv[2] === '--look' ? ['look', process.argv[3]] : ['doc', process.argv[2]];
try {
	if (how === 'look') {
		fs.mkdirSync(folder, { recursive: true });
		const sizes = [[360, 740], [820, 1180], [1600, 1000]];
		await take(folder, sizes, tabs, (tab, width, scheme) => `${tab}-${width}-${scheme}.png`, true);
	} else {
		await denoising(path.join(folder, 'denoising.png'));
		const wanted = ['stepwise', 'generate', 'blend', 'sample'];
		await take(folder, [[1200, 800]], wanted, (tab, _, scheme) => `${tab}-${scheme}.png`, true);
		await phones(folder);
	}
} finally {
	await closeShared();
}
