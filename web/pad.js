// The drawing pad: strokes are kept as points in a field of the model's shape, 280 on its longer side, so that undo, a
// new size and the exported picture all come from the same drawing. Ink is opaque on a transparent layer; an image is
// turned into ink when it arrives.
import { encodeGrey } from './picture.js';
import { $ } from './widgets.js';

const LONGER = 280;
export const field = { width: LONGER, height: LONGER, columns: 28, rows: 28 };

export class Pad {
	// model: width and height of its pictures. change(live): live is true while a stroke is being drawn, false when it
	// is finished or anything else happened.
	constructor(canvas, model, change) {
		const scale = LONGER / Math.max(model.width, model.height);
		field.columns = model.width;
		field.rows = model.height;
		field.width = Math.round(model.width * scale);
		field.height = Math.round(model.height * scale);
		$('#pad-cell').style.width = `${100 / field.columns}%`;
		$('#pad-cell').style.height = `${100 / field.rows}%`;
		this.canvas = canvas;
		this.change = change;
		this.view = canvas.getContext('2d');
		this.layer = Object.assign(document.createElement('canvas'), { width: field.width, height: field.height });
		this.ink = this.layer.getContext('2d', { willReadFrequently: true });
		this.operations = [];
		this.undone = [];
		this.tool = 'pen';
		this.width = 20;
		this.stroke = null;
		this.pointer = null;
		this.cell = null;
		canvas.addEventListener('pointerdown', (event) => this.down(event));
		canvas.addEventListener('pointermove', (event) => this.move(event));
		canvas.addEventListener('pointerup', (event) => this.up(event));
		canvas.addEventListener('pointercancel', (event) => this.up(event));
		canvas.addEventListener('keydown', (event) => this.key(event));
		canvas.addEventListener('focus', () => this.showCell());
		canvas.addEventListener('blur', () => this.leave());
		new ResizeObserver(() => this.resize()).observe(canvas);
		matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.resize());
	}

	get empty() {
		return !this.drawing().length;
	}

	// The operations that still count: those after the last clearing.
	drawing() {
		const last = this.operations.findLastIndex((operation) => operation.tool === 'clear' || operation.tool === 'image');
		const from = last >= 0 && this.operations[last].tool === 'clear' ? last + 1 : Math.max(last, 0);
		return this.operations.slice(from);
	}

	// --- pointer ----------------------------------------------------------------------------------------------

	place(event) {
		const box = this.canvas.getBoundingClientRect();
		const pressure = event.pointerType === 'pen' && event.pressure > 0 ? 0.4 + 1.2 * event.pressure : 1;
		return {
			x: (event.clientX - box.left) * field.width / box.width,
			y: (event.clientY - box.top) * field.height / box.height,
			width: this.width * pressure,
		};
	}

	down(event) {
		if (this.pointer !== null || event.button > 0 && event.button !== 5) {
			return;
		}
		event.preventDefault();
		this.canvas.focus({ preventScroll: true, focusVisible: false });
		this.hideCell();
		this.pointer = event.pointerId;
		this.canvas.setPointerCapture(event.pointerId);
		this.begin(event.button === 5 ? 'eraser' : this.tool, this.place(event));
	}

	move(event) {
		if (event.pointerId !== this.pointer) {
			return;
		}
		const parts = event.getCoalescedEvents?.() ?? [];
		for (const part of parts.length ? parts : [event]) {
			this.extend(this.place(part));
		}
		this.change(true);
	}

	up(event) {
		if (event.pointerId === this.pointer) {
			this.pointer = null;
			this.finish();
		}
	}

	// --- strokes ----------------------------------------------------------------------------------------------

	begin(tool, point) {
		this.stroke = { tool, points: [point] };
		this.undone = [];
		this.operations.push(this.stroke);
		this.drawLast();
		this.change(true);
	}

	extend(point) {
		const last = this.stroke.points.at(-1);
		if (Math.hypot(point.x - last.x, point.y - last.y) >= 0.5) {
			this.stroke.points.push(point);
			this.drawLast();
		}
	}

	finish() {
		if (this.stroke) {
			this.stroke = null;
			this.redraw(); // the end is known now, so every piece bends as it should
			this.change(false);
		}
	}

	add(operation) {
		this.finish();
		this.undone = [];
		this.operations.push(operation);
		this.redraw();
		this.change(false);
	}

	clear() {
		this.leave();
		if (!this.empty) {
			this.add({ tool: 'clear' });
		}
	}

	undo() {
		this.finish();
		if (this.operations.length) {
			this.undone.push(this.operations.pop());
			this.redraw();
			this.change(false);
		}
	}

	redo() {
		this.finish();
		if (this.undone.length) {
			this.operations.push(this.undone.pop());
			this.redraw();
			this.change(false);
		}
	}

	// --- drawing it -------------------------------------------------------------------------------------------

	resize() {
		const side = Math.round(this.canvas.clientWidth * (window.devicePixelRatio || 1));
		if (side > 0) {
			this.canvas.width = side;
			this.canvas.height = Math.round(side * field.height / field.width);
			this.redraw();
		}
	}

	redraw() {
		for (const context of [this.view, this.ink]) {
			context.setTransform(1, 0, 0, 1, 0, 0);
			context.clearRect(0, 0, context.canvas.width, context.canvas.height);
		}
		this.colour = getComputedStyle(this.canvas).getPropertyValue('--ink').trim();
		for (const operation of this.drawing()) {
			this.draw(operation, 0);
		}
	}

	drawLast() {
		this.draw(this.stroke, Math.max(0, this.stroke.points.length - 1));
	}

	draw(operation, from) {
		for (const context of [this.view, this.ink]) {
			const scale = context.canvas.width / field.width;
			context.setTransform(scale, 0, 0, scale, 0, 0);
			if (operation.tool === 'image') {
				drawImage(context, operation, context === this.view ? this.colour : '#fff');
			} else {
				drawStroke(context, operation, from, context === this.view ? this.colour : '#fff');
			}
		}
	}

	// --- keyboard: a cursor over as many cells as the model's pictures have pixels -----------------------------

	key(event) {
		const step = event.shiftKey ? 4 : 1;
		const way = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
		if (event.ctrlKey || event.metaKey || event.altKey) {
			return;
		}
		if (way) {
			event.preventDefault();
			this.moveCell(way[0], way[1]);
		} else if (event.key === ' ' || event.key === 'Enter') {
			event.preventDefault();
			this.togglePen();
		}
	}

	cellPoint() {
		const size = field.width / field.columns;
		return { x: (this.cell.x + 0.5) * size, y: (this.cell.y + 0.5) * size, width: this.width };
	}

	startCell() {
		this.cell ??= { x: Math.floor(field.columns / 2), y: Math.floor(field.rows / 2) };
	}

	moveCell(dx, dy) {
		this.startCell();
		this.cell.x = Math.min(field.columns - 1, Math.max(0, this.cell.x + dx));
		this.cell.y = Math.min(field.rows - 1, Math.max(0, this.cell.y + dy));
		if (this.stroke && this.pointer === null) {
			this.extend(this.cellPoint());
			this.change(true);
		}
		this.showCell(true);
	}

	togglePen() {
		this.startCell();
		if (this.stroke && this.pointer === null) {
			this.finish();
		} else if (!this.stroke) {
			this.begin(this.tool, this.cellPoint());
		}
		this.showCell(true);
	}

	showCell(always) {
		const mark = $('#pad-cell');
		if (!always && !this.canvas.matches(':focus-visible')) {
			return;
		}
		this.startCell();
		$('#pad-help').hidden = false; // and stays: what is below must not move when a click takes the focus away
		mark.hidden = false;
		mark.classList.toggle('down', this.stroke !== null);
		mark.style.left = `${100 * this.cell.x / field.columns}%`;
		mark.style.top = `${100 * this.cell.y / field.rows}%`;
	}

	hideCell() {
		if (this.pointer === null) {
			this.finish();
		}
		$('#pad-cell').hidden = true;
	}

	leave() {
		if (this.pointer === null) {
			this.hideCell();
		}
	}

	// --- out and in -------------------------------------------------------------------------------------------

	// What to send: an untouched image as it came (one that the network drew needs no framing); a drawing, or an image
	// that has been drawn on, as white ink on black.
	async export() {
		const drawing = this.drawing();
		if (drawing.length === 1 && drawing[0].tool === 'image') {
			const as = drawing[0].framed ? { invert: 'no', preprocess: 'none' } : { invert: 'auto' };
			return { png: drawing[0].png, frame: drawing[0], ...as };
		}
		const { width, height } = field;
		const pixels = this.ink.getImageData(0, 0, width, height).data;
		const grey = new Uint8Array(width * height);
		let any = 0;
		for (let i = 0; i < grey.length; i++) {
			grey[i] = pixels[4 * i + 3];
			any |= grey[i];
		}
		if (!any) {
			return null;
		}
		const png = await encodeGrey(grey, width, height);
		return { png, invert: 'no', frame: { x: 0, y: 0, scale: 1 }, parts: partsOf(grey) };
	}

	// What to keep of the drawing, for restore(): plain data, without what can be made again.
	async keep() {
		return Promise.all(this.drawing().map(async (operation) => (operation.tool === 'image'
			? { tool: 'image', png: await operation.png.arrayBuffer(), framed: operation.framed }
			: operation)));
	}

	async restore(kept) {
		const operations = await Promise.all(kept.map(async (operation) => (operation.tool === 'image'
			? { ...await imageOperation(new Blob([operation.png], { type: 'image/png' })), framed: operation.framed }
			: operation)));
		this.operations = operations;
		this.redraw();
		this.change(false);
	}

	// framed: the picture is as the network wants it.
	async open(blob, framed = false) {
		this.add({ ...await imageOperation(blob), framed });
	}
}

// How many things stand side by side: runs of columns with ink, each at least a twentieth of the field wide and a third
// high, with a gap between them that no stroke crosses.
function partsOf(grey) {
	const { width, height } = field;
	let parts = 0;
	let run = null;
	let empty = 0;
	const end = () => {
		parts += run !== null && run.right - run.left >= width / 20 && run.bottom - run.top >= height / 3;
		run = null;
	};
	for (let x = 0; x < width; x++) {
		let top = -1;
		let bottom = -1;
		for (let y = 0; y < height; y++) {
			if (grey[y * width + x] > 127) {
				top = top < 0 ? y : top;
				bottom = y;
			}
		}
		empty = top < 0 ? empty + 1 : 0;
		if (top >= 0) {
			run ??= { left: x, top, bottom };
			run = { left: run.left, right: x, top: Math.min(run.top, top), bottom: Math.max(run.bottom, bottom) };
		} else if (run && empty >= width / 28) {
			end();
		}
	}
	end();
	return parts;
}

const middle = (a, b) => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });

// A smooth line: from middle to middle of its pieces, bent towards the point between.
function drawStroke(context, { tool, points }, from, colour) {
	context.globalCompositeOperation = tool === 'eraser' ? 'destination-out' : 'source-over';
	context.strokeStyle = colour;
	context.fillStyle = colour;
	context.lineCap = 'round';
	context.lineJoin = 'round';
	if (from === 0) {
		context.beginPath();
		context.arc(points[0].x, points[0].y, points[0].width / 2, 0, 2 * Math.PI);
		context.fill();
	}
	for (let i = Math.max(from, 1); i < points.length; i++) {
		const start = i === 1 ? points[0] : middle(points[i - 2], points[i - 1]);
		const end = i === points.length - 1 ? points[i] : middle(points[i - 1], points[i]);
		context.lineWidth = points[i].width;
		context.beginPath();
		context.moveTo(start.x, start.y);
		context.quadraticCurveTo(points[i - 1].x, points[i - 1].y, end.x, end.y);
		context.stroke();
	}
}

function drawImage(context, { mask }, colour) {
	const tinted = new OffscreenCanvas(field.width, field.height);
	const paint = tinted.getContext('2d');
	paint.drawImage(mask, 0, 0);
	paint.globalCompositeOperation = 'source-in';
	paint.fillStyle = colour;
	paint.fillRect(0, 0, field.width, field.height);
	context.globalCompositeOperation = 'source-over';
	context.imageSmoothingEnabled = false;
	context.drawImage(tinted, 0, 0);
}

const LARGEST = 1024;

// An image of any kind the browser reads: its PNG for the server (as it came where that is a PNG of a fair size), and
// its ink, dark on light inverted, fitted into the field.
async function imageOperation(blob) {
	const bitmap = await createImageBitmap(blob);
	const { width, height } = bitmap;
	const shrink = Math.min(1, LARGEST / Math.max(width, height));
	let png = blob;
	if (blob.type !== 'image/png' || shrink < 1) {
		const copy = new OffscreenCanvas(Math.max(1, Math.round(width * shrink)), Math.max(1, Math.round(height * shrink)));
		copy.getContext('2d').drawImage(bitmap, 0, 0, copy.width, copy.height);
		png = await copy.convertToBlob({ type: 'image/png' });
	}
	const scale = Math.min(field.width / width, field.height / height);
	const frame = {
		x: (field.width - width * scale) / 2,
		y: (field.height - height * scale) / 2,
		scale: scale / (shrink < 1 ? shrink : 1),
	};
	const mask = new OffscreenCanvas(field.width, field.height);
	const context = mask.getContext('2d', { willReadFrequently: true });
	context.imageSmoothingEnabled = scale < 1;
	context.imageSmoothingQuality = 'high';
	context.drawImage(bitmap, frame.x, frame.y, width * scale, height * scale);
	bitmap.close();
	toInk(context, frame, width * scale, height * scale);
	return { tool: 'image', png, mask, ...frame };
}

// Turns grey values into opacity. The paper is what most of the border is; the ink is what differs from it on the side
// where more of the picture does, and what differs little is the paper's own grain and shadow.
function toInk(context, frame, width, height) {
	const image = context.getImageData(0, 0, field.width, field.height);
	const data = image.data;
	const grey = (x, y) => {
		const i = 4 * (Math.floor(y) * field.width + Math.floor(x));
		const value = 0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2];
		return { i, value, alpha: data[i + 3] };
	};
	const border = [];
	const right = Math.min(field.width, frame.x + width) - 1;
	const bottom = Math.min(field.height, frame.y + height) - 1;
	const level = (x, y) => {
		const { value, alpha } = grey(x, y);
		return alpha < 128 ? 255 : value;
	};
	for (let k = 0; k < 64; k++) {
		const x = frame.x + (right - frame.x) * k / 63;
		const y = frame.y + (bottom - frame.y) * k / 63;
		border.push(level(x, frame.y), level(x, bottom), level(frame.x, y), level(right, y));
	}
	const paper = border.sort((p, q) => p - q)[border.length / 2];
	const inside = (x, y) => x >= frame.x && x <= right && y >= frame.y && y <= bottom;
	let darkest = paper;
	let lightest = paper;
	for (let y = 0; y < field.height; y++) {
		for (let x = 0; x < field.width; x++) {
			if (inside(x, y)) {
				darkest = Math.min(darkest, level(x, y));
				lightest = Math.max(lightest, level(x, y));
			}
		}
	}
	const far = paper - darkest > lightest - paper ? darkest - paper : lightest - paper;
	// A picture on clean black or white keeps its greys; elsewhere a third of the way to the ink is still paper.
	const grain = paper < 8 || paper > 247 ? 0 : 1 / 3;
	for (let y = 0; y < field.height; y++) {
		for (let x = 0; x < field.width; x++) {
			const { i } = grey(x, y);
			const share = inside(x, y) && far !== 0 ? (level(x, y) - paper) / far : 0;
			data[i] = data[i + 1] = data[i + 2] = 255;
			data[i + 3] = Math.round(255 * Math.min(1, Math.max(0, (share - grain) / (1 - grain))));
		}
	}
	context.putImageData(image, 0, 0);
}
