// Blend: two digits, one noise, a label that slides; and every pair at once.
import { blendStream, curlJson } from './api.js';
import { Playback, decode, paint, paintNoise } from './picture.js';
import {
	$, $$, capital, clearProblem, fillFields, followAddress, h, makeChooser, makeCurl, makePicture, makeSeed, numberOf,
	openCard, readAddress, showProblem, stepsDone, word, writeAddress,
} from './widgets.js';

const FRAMES = 21;  // of the slider: every 5 %
const COLUMNS = 9;  // of the strip
const ROWS = 4;

let model;
let from = 6;
let to = 7;
let seed;
let curl;
let chooseFrom;
let chooseTo;
let frames = [];    // bitmaps of the slider's positions
let shares = [];    // the label gone to, at each of them
let running = null;
let filling = null; // the matrix
let last = '';      // what was asked last

const root = () => $('#blend');
const form = () => $('#blend-form');
// The positions are placed by what changes in the picture; the answer says where on the label's way that is.
const weight = () => shares[Number($('#weight').value)] ?? Number($('#weight').value) / (FRAMES - 1);
const problemBox = () => $('.problem', form());

export function setUp(model_) {
	model = model_;
	fillFields(form(), model, 'blend');
	to = Math.min(to, model.names.length - 1);
	from = Math.min(from, Math.max(0, to - 1));
	$('#weight').max = FRAMES - 1;
	chooseFrom = makeChooser($('[data-from]', root()), model.names, (i) => setPair(i, to), (name) => `From ${name}`);
	chooseTo = makeChooser($('[data-to]', root()), model.names, (i) => setPair(from, i), (name) => `To ${name}`);
	seed = makeSeed($('[data-seed]', root()), () => draw(), 76, false);
	curl = makeCurl($('[data-curl]', root()));
	$('#swap').addEventListener('click', () => setPair(to, from));
	$('#weight').addEventListener('input', () => showWeight());
	$('#weight').addEventListener('change', () => { showWeight(); showAddress(false); });
	form().addEventListener('change', (event) => {
		if (event.target.id !== 'weight') {
			draw();
		}
	});
	form().addEventListener('submit', (event) => {
		event.preventDefault();
		draw();
	});
	$('#matrix-go').addEventListener('click', fillMatrix);
	$('#matrix-cancel').addEventListener('click', () => filling?.abort());
	layMatrix();
	fill(readAddress('blend'));
}

// The fields as an address has them.
function fill(given) {
	const classOf = (field, otherwise) =>
		(model.names.includes(given.get(field)) ? model.names.indexOf(given.get(field)) : otherwise);
	from = classOf('from', from);
	to = classOf('to', to);
	$('#weight').value = given.get('position') ?? $('#weight').value;
	followAddress(form(), given);
	showPair();
}

const asked = () => ({ from: model.nameOf(from), to: model.nameOf(to), ...common() });

function showAddress(add) {
	const { from: a, to: b, ...rest } = asked();
	writeAddress('blend', { from: a, to: b, position: $('#weight').value, ...rest }, add);
}

export function open() {
	if (!last) {
		draw(false);
	}
}

export function follow(given) {
	fill(given);
	if (JSON.stringify(asked()) !== last) {
		draw(false);
	}
}

// --- the pair and its weight ---------------------------------------------------------------------------------------

function setPair(from_, to_) {
	from = from_;
	to = to_;
	showPair();
	draw();
}

function showPair() {
	chooseFrom(from);
	chooseTo(to);
	$('#blend-title').textContent = [from, to].map((i) => capital(word(model.names[i]))).join(' ');
	$('[data-name-from]', root()).textContent = model.names[from];
	$('[data-name-to]', root()).textContent = model.names[to];
	showWeight();
}

function showWeight() {
	const part = Math.round(100 * weight());
	const words = `${100 - part} % ${word(model.names[from])}, ${part} % ${word(model.names[to])}`;
	$('#weight-text').textContent = words;
	$('#weight').setAttribute('aria-valuetext', words);
	$('#morph').setAttribute('aria-label', `The blend: ${words}`);
	const bitmap = frames[Number($('#weight').value)];
	if (bitmap) {
		paint($('#morph'), bitmap);
	}
	curl(curlJson('v1/generate', { ...common(), weights: weights(weight()) }, 'blend.png'));
}

const shareOf = (image) => (image.label_values[to] + 1) / 2;

function weights(share) {
	if (from === to) {
		return { [model.nameOf(from)]: 1 };
	}
	return { [model.nameOf(from)]: Number((1 - share).toFixed(4)), [model.nameOf(to)]: Number(share.toFixed(4)) };
}

const common = () => ({ seed: seed.value(), steps: numberOf(form(), 'steps'), guidance: numberOf(form(), 'guidance') });

// --- the slider's frames and the strip -----------------------------------------------------------------------------

async function draw(add = true) {
	running?.abort();
	const controller = new AbortController();
	running = controller;
	const { signal } = controller;
	let state = 'done';
	root().dataset.state = 'running';
	clearProblem(form(), problemBox());
	last = JSON.stringify(asked());
	forgetFrames();
	showWeight();
	forgetMatrix();
	showAddress(add);
	const progress = showProgress();
	try {
		await drawFrames(signal, progress);
		await drawStrip(signal, progress);
	} catch (error) {
		state = 'failed';
		showProblem(form(), problemBox(), error);
	}
	if (running === controller) {
		running = null;
		progress.end();
		root().dataset.state = state;
	}
}

// How far the morphs are. Nothing can be counted while the server measures where the pictures change.
function showProgress() {
	const bar = $('#morph-progress');
	const words = $('#morph-status');
	const total = (FRAMES + COLUMNS * ROWS) * (Number(common().steps) || 1);
	let before = 0;
	let steps = [];
	$('#morphing').hidden = false;
	return {
		measure() {
			before += steps.reduce((sum, done) => sum + done, 0);
			steps = [];
			bar.removeAttribute('value');
			words.textContent = 'finding where the pictures change';
		},
		step(step) {
			bar.value = Math.min(1, (before + stepsDone(steps, step)) / total);
			words.textContent = 'drawing';
		},
		end() {
			$('#morphing').hidden = true;
			words.textContent = '';
		},
	};
}

// The pictures of another pair must not stand under the names of this one.
function forgetFrames() {
	frames.forEach((bitmap) => bitmap.close());
	frames = [];
	shares = [];
	paintNoise($('#morph'), model.width, model.height);
}

async function drawFrames(signal, progress) {
	progress.measure();
	const put = async (item, base64) => {
		const bitmap = await decode(base64);
		if (signal.aborted) {
			bitmap.close();
		} else {
			frames[item]?.close();
			frames[item] = bitmap;
			if (item === Number($('#weight').value)) {
				paint($('#morph'), bitmap);
			}
		}
	};
	const playback = new Playback(put, signal);
	const answer = await blendStream({ ...asked(), columns: FRAMES, rows: 1 }, (step) => {
		progress.step(step);
		playback.push(step.item, step.image);
	}, signal);
	await playback.done();
	signal.throwIfAborted();
	await Promise.all(answer.images.map((image, i) => put(i, image.b64_json)));
	shares = answer.images.map(shareOf);
	showWeight();
}

async function drawStrip(signal, progress) {
	progress.measure();
	const pictures = Array.from({ length: COLUMNS * ROWS },
		(_, i) => makePicture(`Picture ${i + 1} of the strip, being drawn`));
	pictures.forEach((picture) => paintNoise(picture.canvas, model.width, model.height));
	$('#strip').replaceChildren(...pictures.map((picture) => picture.button));
	const playback = new Playback((item, image) => pictures[item].show(image), signal);
	const answer = await blendStream({ ...asked(), columns: COLUMNS, rows: ROWS }, (step) => {
		progress.step(step);
		playback.push(step.item, step.image);
	}, signal);
	await playback.done();
	signal.throwIfAborted();
	await Promise.all(answer.images.map((image, i) => {
		const share = shareOf(image);
		const part = Math.round(100 * share);
		return pictures[i].finish({
			title: `${100 - part} % ${word(model.names[from])}, ${part} % ${word(model.names[to])}`,
			text: `Seed ${image.seed ?? answer.seed}, row ${Math.floor(i / COLUMNS) + 1}`,
			seed: image.seed ?? answer.seed,
			base64: image.b64_json,
			file: `blend-${from}-${to}-${part}.png`,
			curl: curlJson('v1/generate', { ...common(), label: image.label_values, index: image.index }, 'blend.png'),
		});
	}));
}

// --- every pair ----------------------------------------------------------------------------------------------------

function layMatrix() {
	const n = model.names.length;
	$('#pairs').hidden = n * n > model.raw.limits.count;
	const box = $('#matrix');
	box.style.gridTemplateColumns = `1.2em repeat(${n}, minmax(0, 1fr))`;
	const head = (name) => h('span', { class: 'head', 'aria-hidden': 'true' }, name);
	const empty = () => h('span', { class: 'picture empty' });
	const rows = model.names.flatMap((row) => [head(row), ...model.names.map(empty)]);
	box.replaceChildren(head(''), ...model.names.map(head), ...rows);
}

// A matrix of another seed, or of other steps, is not this one's.
let matrixOf = '';
function forgetMatrix() {
	if (matrixOf && matrixOf !== JSON.stringify(common())) {
		filling?.abort();
		matrixOf = '';
		layMatrix();
		$('#matrix-progress').value = 0;
		$('#matrix-status').textContent = '';
		delete $('#matrix').dataset.state;
	}
}

const pairTitle = (row, column) => (row === column
	? capital(word(model.names[row]))
	: `Half ${word(model.names[row])}, half ${word(model.names[column])}`);

async function fillMatrix() {
	filling?.abort();
	const controller = new AbortController();
	filling = controller;
	const { signal } = controller;
	const n = model.names.length;
	matrixOf = JSON.stringify(common());
	const pictures = Array.from({ length: n * n }, (_, i) =>
		makePicture(`${pairTitle(Math.floor(i / n), i % n)}, being drawn`, (what) => pick(Math.floor(i / n), i % n, what)));
	clearProblem(root(), $('#matrix-problem'));
	layMatrix();
	$$('.empty', $('#matrix')).forEach((node, i) => {
		paintNoise(pictures[i].canvas, model.width, model.height);
		node.replaceWith(pictures[i].button);
	});
	$('#matrix-cancel').hidden = false;
	$('#matrix-go').hidden = true;
	$('#matrix').dataset.state = 'running';
	let state = 'done';
	const progress = $('#matrix-progress');
	progress.value = 0;
	progress.max = Math.max(1, n * n * (Number(common().steps) || 1));
	$('#matrix-status').textContent = 'drawing';
	const playback = new Playback((item, image) => pictures[item].show(image), signal);
	const steps = [];
	try {
		const answer = await blendStream({ matrix: true, ...common() }, (step) => {
			progress.value = stepsDone(steps, step);
			playback.push(step.item, step.image);
		}, signal);
		await playback.done();
		signal.throwIfAborted();
		await Promise.all(answer.images.map((image, i) => pictures[i].finish({
			title: pairTitle(Math.floor(i / n), i % n),
			text: `Seed ${image.seed ?? answer.seed}`,
			seed: image.seed ?? answer.seed,
			base64: image.b64_json,
			file: `pair-${Math.floor(i / n)}-${i % n}.png`,
			curl: curlJson('v1/generate', { ...common(), label: image.label_values, index: image.index }, 'pair.png'),
		})));
		progress.value = progress.max;
		$('#matrix-status').textContent = `${n * n} drawn`;
	} catch (error) {
		state = signal.aborted ? 'cancelled' : 'failed';
		$('#matrix-status').textContent = signal.aborted ? 'cancelled' : '';
		if (!signal.aborted) {
			layMatrix();
		}
		showProblem(root(), $('#matrix-problem'), error);
	}
	if (filling === controller) {
		filling = null;
		$('#matrix-cancel').hidden = true;
		$('#matrix-go').hidden = false;
		$('#matrix').dataset.state = state;
	}
}

function pick(row, column, what) {
	if (row === column) {
		openCard(what);
	} else {
		$('#weight').value = (FRAMES - 1) / 2;
		setPair(row, column);
		$('#weight').focus();
	}
}
