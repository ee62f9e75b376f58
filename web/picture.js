// Pictures in and out: a small PNG writer for the pad, PNG reading for what the server sends, playback of the steps.

const crcTable = Uint32Array.from({ length: 256 }, (_, n) => {
	for (let bit = 0; bit < 8; bit++) {
		n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
	}
	return n >>> 0;
});

function chunk(name, data) {
	const bytes = new Uint8Array(12 + data.length);
	const view = new DataView(bytes.buffer);
	view.setUint32(0, data.length);
	for (let i = 0; i < 4; i++) {
		bytes[4 + i] = name.charCodeAt(i);
	}
	bytes.set(data, 8);
	let crc = 0xffffffff;
	for (let i = 4; i < 8 + data.length; i++) {
		crc = crcTable[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
	}
	view.setUint32(8 + data.length, (crc ^ 0xffffffff) >>> 0);
	return bytes;
}

// An 8-bit grey PNG as a Blob. Written here because canvas.toBlob waits for an idle moment, which the answer while
// drawing has no time for.
export async function encodeGrey(grey, width, height) {
	const rows = new Uint8Array(height * (width + 1));
	for (let y = 0; y < height; y++) {
		rows.set(grey.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
	}
	const packed = new Blob([rows]).stream().pipeThrough(new CompressionStream('deflate'));
	const header = new Uint8Array(13);
	const view = new DataView(header.buffer);
	view.setUint32(0, width);
	view.setUint32(4, height);
	header[8] = 8;
	const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
	const data = new Uint8Array(await new Response(packed).arrayBuffer());
	const parts = [signature, chunk('IHDR', header), chunk('IDAT', data), chunk('IEND', new Uint8Array(0))];
	return new Blob(parts, { type: 'image/png' });
}

export function pngBlob(base64) {
	const text = atob(base64.slice(base64.indexOf(',') + 1));
	const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
	return new Blob([bytes], { type: 'image/png' });
}

export const decode = (base64) => createImageBitmap(pngBlob(base64));

export function paint(canvas, bitmap) {
	if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
		canvas.width = bitmap.width;
		canvas.height = bitmap.height;
	}
	canvas.getContext('2d').drawImage(bitmap, 0, 0);
}

// Grey noise, for a picture whose first step has not come yet.
export function paintNoise(canvas, width, height) {
	canvas.width = width;
	canvas.height = height;
	const context = canvas.getContext('2d');
	const image = context.createImageData(width, height);
	for (let i = 0; i < image.data.length; i += 4) {
		const normal = Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
		image.data.fill(127.5 + 127.5 * normal, i, i + 3);
		image.data[i + 3] = 255;
	}
	context.putImageData(image, 0, 0);
}

const still = () => matchMedia('(prefers-reduced-motion: reduce)').matches;

// Shows each item's steps one after the other at a pace the eye can follow, however fast they arrive. With reduced
// motion only the latest state is shown. show(item, frame) may be asynchronous; an item's frames never overtake.
export class Playback {
	constructor(show, signal, pace = 34) {
		this.show = show;
		this.pace = pace;
		this.waiting = new Map();
		this.busy = new Set();
		this.timer = null;
		this.idle = [];
		signal.addEventListener('abort', () => this.stop());
	}

	push(item, frame) {
		const queue = this.waiting.get(item) ?? [];
		if (still()) {
			queue.length = 0;
		}
		queue.push(frame);
		this.waiting.set(item, queue);
		this.timer ??= setInterval(() => this.tick(), this.pace);
	}

	tick() {
		let left = 0;
		for (const [item, queue] of this.waiting) {
			left += queue.length;
			if (queue.length && !this.busy.has(item)) {
				// A long queue is caught up with: never more than about two seconds behind.
				const frame = queue.splice(0, 1 + Math.floor(queue.length / 50)).pop();
				this.busy.add(item);
				Promise.resolve(this.show(item, frame)).finally(() => this.busy.delete(item));
			}
		}
		if (!left && !this.busy.size) {
			this.stop();
		}
	}

	stop() {
		clearInterval(this.timer);
		this.timer = null;
		this.waiting.clear();
		this.idle.splice(0).forEach((resolve) => resolve());
	}

	// Resolves when everything has been shown, or the playback was stopped.
	done() {
		return this.timer === null ? Promise.resolve() : new Promise((resolve) => this.idle.push(resolve));
	}
}
