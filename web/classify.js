// Classify: draw, and the answer follows the pen.
import { classify, classifyStream, curlForm, edit, getBlob, isAbort } from './api.js';
import { Pad, field } from './pad.js';
import { Playback, decode, paint } from './picture.js';
import {
	$, $$, argmax, clearProblem, fillFields, followAddress, h, makeBars, makeChooser, makeCurl, makeSeed, numberOf,
	openCard, percent, readAddress, saveBlob, showProblem, svg, word, writeAddress,
} from './widgets.js';

const LIVE_MS = 70;      // at most one request in so long while the pen moves
const PATIENCE_MS = 400; // a request in flight for longer is given up for a newer drawing

let model;
let pad;
let bars;
let curl;
let seed;
let asked = null;   // the request in flight: { controller, since }
let again = false;  // the drawing changed while it was
let timer = null;
let lastAsked = 0;

const root = () => $('#classify');
const method = () => $('input[name=method]:checked').value;

export function setUp(model_) {
	model = model_;
	bars = makeBars($('#classify-bars'), model.names);
	bars(null);
	curl = makeCurl($('[data-curl]', root()));
	pad = new Pad($('#pad'), model, changed);
	seed = makeSeed($('#stepwise [data-seed]'), rerun);
	fillFields($('#stepwise'), model, 'classify');
	setUpTools();
	setUpImages();
	setUpWords();
	$('#stepwise').addEventListener('submit', (event) => {
		event.preventDefault();
		seed.next();
		rerun();
	});
	$$('input[name=method]').forEach((input) => input.addEventListener('change', () => {
		showMethod();
		rerun();
	}));
	fill(readAddress('classify'));
	showCurl();
	setUpLike();
	$('#save').addEventListener('click', async () => saveBlob((await pad.export()).png, 'drawing.png'));
	if (Array.isArray(history.state?.drawing) && history.state.drawing.length) {
		pad.restore(history.state.drawing).catch(() => {});
	}
}

const showMethod = () => { $('#stepwise').hidden = method() !== 'sample'; };

// What only one of the methods has is in the address while that one is chosen.
function writeHere(add) {
	const { method: way, samples, steps, seed: noise } = options({});
	writeAddress('classify', way === 'sample' ? { method: way, samples, steps, seed: noise } : {}, add);
}

function rerun() {
	writeHere(true);
	ask();
}

function fill(given) {
	$(`input[name=method][value=${given.get('method') === 'sample' ? 'sample' : 'posterior'}]`).checked = true;
	followAddress($('#stepwise'), given);
	showMethod();
}

export function follow(given) {
	const before = JSON.stringify(options({}));
	fill(given);
	if (JSON.stringify(options({})) !== before) {
		ask();
	}
}

// The drawing lasts as long as the page's place in the history: a reload, or coming back, finds it again.
export async function keep() {
	try {
		history.replaceState({ drawing: await pad.keep() }, '');
	} catch {
		// a picture that is too large to be kept
	}
}

// --- one like mine, but another class ------------------------------------------------------------------------------

function setUpLike() {
	makeChooser($('#like'), model.names, drawLike, (name) => `Like mine, but ${name}`);
}

async function drawLike(i) {
	const drawing = pad.empty ? null : await pad.export();
	if (!drawing) {
		return;
	}
	const { invert, preprocess } = drawing;
	const seed_ = Math.floor(Math.random() * 2 ** 32);
	const asked_ = { class: model.names[i], seed: seed_, invert, ...(preprocess && { preprocess }) };
	$('#like-status').textContent = 'Drawing';
	try {
		const answer = await edit(drawing.png, asked_);
		const name = word(model.names[i]);
		$('#like-status').textContent = '';
		await openCard({
			title: model.isDigits ? `Like yours, but ${name === 'eight' ? 'an' : 'a'} ${name}` : `Like yours, but ${name}`,
			text: `Seed ${answer.seed}`,
			seed: answer.seed,
			base64: answer.images[0].b64_json,
			file: `like-${model.names[i]}.png`,
			curl: curlForm('v1/edit', 'drawing.png', asked_),
		});
	} catch (error) {
		$('#like-status').textContent = '';
		showProblem(root(), $('#classify-problem'), error);
	}
}

function setUpWords() {
	const size = `${model.width} by ${model.height}`;
	$('#pad').setAttribute('aria-label', `Drawing area, ${size} cells`);
	$('#seen-image').setAttribute('aria-label', `The ${size} image as the network saw it`);
}

export async function classifyThis(blob, framed = false) {
	root().dataset.state = 'asking';
	try {
		await pad.open(blob, framed);
		clearProblem(root(), $('#classify-problem'));
	} catch {
		const box = $('#classify-problem');
		box.textContent = 'The browser cannot read this as an image.';
		box.hidden = false;
		root().dataset.state = 'failed';
	}
}

// --- tools ---------------------------------------------------------------------------------------------------------

function setUpTools() {
	const choose = (tool) => {
		pad.tool = tool;
		$('#tool-pen').setAttribute('aria-pressed', String(tool === 'pen'));
		$('#tool-eraser').setAttribute('aria-pressed', String(tool === 'eraser'));
	};
	$('#tool-pen').addEventListener('click', () => choose('pen'));
	$('#tool-eraser').addEventListener('click', () => choose('eraser'));
	$('#undo').addEventListener('click', () => pad.undo());
	$('#redo').addEventListener('click', () => pad.redo());
	$('#clear').addEventListener('click', () => pad.clear());
	$('#pen-width').addEventListener('input', (event) => { pad.width = Number(event.target.value); });
	document.addEventListener('keydown', (event) => {
		if (root().hidden || $('dialog[open]') || event.target.matches('input:not([type=range]):not([type=radio])')) {
			return;
		}
		const letter = event.key.toLowerCase();
		if ((event.ctrlKey || event.metaKey) && (letter === 'z' || letter === 'y')) {
			event.preventDefault();
			if (letter === 'y' || event.shiftKey) {
				pad.redo();
			} else {
				pad.undo();
			}
		} else if (event.key === 'Escape' && event.target.matches('body, .paper *:not(input)')) {
			pad.clear();
		} else if (!event.ctrlKey && !event.metaKey && !event.altKey && (letter === 'p' || letter === 'e')) {
			choose(letter === 'p' ? 'pen' : 'eraser');
		}
	});
}

function setUpImages() {
	const box = $('#pad-box');
	$('#upload').addEventListener('click', () => $('#file').click());
	$('#file').addEventListener('change', (event) => {
		const [file] = event.target.files;
		if (file) {
			classifyThis(file);
		}
		event.target.value = '';
	});
	document.addEventListener('paste', (event) => {
		const file = [...event.clipboardData.files].find((item) => item.type.startsWith('image/'));
		if (file && !root().hidden) {
			event.preventDefault();
			classifyThis(file);
		}
	});
	root().addEventListener('dragover', (event) => {
		event.preventDefault();
		box.classList.add('over');
	});
	root().addEventListener('dragleave', () => box.classList.remove('over'));
	root().addEventListener('drop', (event) => {
		event.preventDefault();
		box.classList.remove('over');
		const [file] = event.dataTransfer.files;
		if (file) {
			classifyThis(file);
		}
	});
	$('#real').hidden = $('#real-title').hidden = !model.isMnist;
	$('#real').replaceChildren(...(model.isMnist ? model.names.map(realDigit) : []));
}

function realDigit(name) {
	const image = h('img', { src: `digits/${name}.png`, alt: '', width: 28, height: 28 });
	return h('button', {
		type: 'button',
		'aria-label': `A real ${word(name)}`,
		onclick: async () => {
			root().dataset.state = 'asking';
			try {
				classifyThis(await getBlob(`digits/${name}.png`));
			} catch (error) {
				root().dataset.state = 'failed';
				showProblem(root(), $('#classify-problem'), error);
			}
		},
	}, image);
}

// --- asking --------------------------------------------------------------------------------------------------------

function changed(live) {
	$('#undo').disabled = !pad.operations.length;
	$('#redo').disabled = !pad.undone.length;
	$('#clear').disabled = $('#save').disabled = pad.empty;
	$$('#like button').forEach((button) => { button.disabled = pad.empty; });
	$('#pad-ghost').hidden = !pad.empty;
	$('#pad-frame').hidden = true;
	root().dataset.state = 'asking';
	if (!live) {
		keep();
		ask();
	} else if (method() === 'posterior' && timer === null) {
		timer = setTimeout(askLive, Math.max(0, lastAsked + LIVE_MS - performance.now()));
	}
}

function askLive() {
	timer = null;
	if (asked && performance.now() - asked.since < PATIENCE_MS) {
		again = true;
	} else {
		ask(true);
	}
}

function stop() {
	clearTimeout(timer);
	timer = null;
	again = false;
	asked?.controller.abort();
	asked = null;
}

async function ask(live = false) {
	stop();
	const controller = new AbortController();
	const mine = { controller, since: performance.now() };
	asked = mine;
	lastAsked = mine.since;
	root().dataset.state = 'asking';
	const drawing = pad.empty ? null : await pad.export();
	if (controller.signal.aborted) {
		return;
	}
	showCurl();
	if (!drawing) {
		asked = null;
		root().dataset.state = 'empty';
		showNothing();
		return;
	}
	let state = 'answered';
	if (!$('#verdict').textContent.trim()) {
		$('#sure').textContent = 'Waiting for the answer';
	}
	$('.answer').classList.toggle('waiting', !live);
	try {
		const run = method() === 'sample' ? askSample : askPosterior;
		await run(drawing, controller.signal);
		clearProblem(root(), $('#classify-problem'));
	} catch (error) {
		state = 'failed';
		if (!isAbort(error)) {
			showNothing('No answer'); // the one before was about another drawing
		}
		showProblem(root(), $('#classify-problem'), error);
	}
	if (asked === mine) {
		asked = null;
		$('.answer').classList.remove('waiting');
		if (again) {
			ask(true);
		} else if (!pad.stroke) {
			root().dataset.state = state;
		}
	}
}

const options = ({ invert, preprocess }) => ({ ...(preprocess && { preprocess }), ...(method() === 'sample'
	? {
		method: 'sample', invert, samples: $('#stepwise').elements.samples.value,
		steps: $('#stepwise').elements.steps.value, seed: seed.value(),
	}
	: { method: 'posterior', invert }) });

async function askPosterior(drawing, signal) {
	const started = performance.now();
	const answer = await classify(drawing.png, options(drawing), signal);
	const milliseconds = performance.now() - started;
	if (!signal.aborted) {
		await showAnswer(answer, drawing, answer.probabilities, `${milliseconds.toFixed(0)} ms round trip`);
	}
}

async function askSample(drawing, signal) {
	const figure = makeTrajectory(Number(numberOf($('#stepwise'), 'steps')) || model.raw.defaults.classify.steps);
	const steps = [];
	let drawn = 0;
	// A frame is the number of steps so far, so that a frame that is left out leaves no gap in the figure.
	const playback = new Playback((item, count) => {
		while (drawn < count) {
			figure(steps[drawn++]);
		}
	}, signal, 40);
	const answer = await classifyStream(drawing.png, options(drawing), (step) => {
		if (step.item === 0 && step.label) {
			playback.push(0, steps.push(step));
		}
	}, signal);
	await playback.done();
	if (!signal.aborted) {
		const shares = answer.votes.map((votes) => votes / answer.samples);
		await showAnswer(answer, drawing, shares, `${answer.votes[argmax(shares)]} of ${answer.samples} samples agree`);
	}
}

// --- showing -------------------------------------------------------------------------------------------------------

function showNothing(words = 'Nothing drawn yet') {
	bars(null);
	$('#verdict').textContent = '\u00a0';
	$('#sure').textContent = words;
	$('#took').textContent = '\u00a0';
	$('#framing').textContent = '\u00a0';
	$('#verdict-live').textContent = '';
	$('#seen').hidden = true;
	$('#familiar').hidden = $('#strange').hidden = true;
	$('#trajectory').replaceChildren();
	$('.answer').classList.remove('waiting');
	clearProblem(root(), $('#classify-problem'));
}

async function showAnswer(answer, drawing, shares, took) {
	const name = model.names[answer.label] ?? answer.name;
	$('#verdict').textContent = name;
	$('#verdict').classList.toggle('long', name.length > 2);
	$('#sure').textContent = `${percent(answer.confidence)} sure`;
	$('#took').textContent = took;
	bars(shares, answer.label);
	const live = `${name}, ${percent(answer.confidence)} sure`;
	if (!pad.stroke && $('#verdict-live').textContent !== live) {
		$('#verdict-live').textContent = live;
	}
	showFraming(answer.preprocess, drawing);
	showFamiliarity(answer, drawing);
	if (answer.preprocess?.image) {
		const bitmap = await decode(answer.preprocess.image);
		paint($('#seen-image'), bitmap);
		bitmap.close();
		$('#seen').hidden = false;
	}
}

// How much this looks like what the model has learned, where the server says so.
function showFamiliarity(answer, drawing) {
	const known = typeof answer.familiarity === 'number';
	const what = model.isDigits ? 'a digit' : 'anything the model has learned';
	$('#familiar').hidden = !known;
	if (known) {
		$('#familiar meter').value = answer.familiarity;
	}
	$('#strange').hidden = !(drawing.parts > 1 && model.isDigits) && !answer.unfamiliar;
	$('#strange').textContent = drawing.parts > 1 && model.isDigits ? 'Two digits? The network reads one at a time.'
		: `This does not look like ${what}.`;
}

function showFraming(done, { frame }) {
	const box = done?.box;
	if (!box || done.method === 'none') {
		$('#pad-frame').hidden = true;
		$('#framing').textContent = !box ? '\u00a0' :
			`The picture goes to the network as it is${done.inverted ? ', light and dark inverted' : ''}.`;
		return;
	}
	const part = (length, whole) => `${100 * length * frame.scale / whole}%`;
	const mark = $('#pad-frame');
	mark.style.left = part(frame.x / frame.scale + box.x, field.width);
	mark.style.top = part(frame.y / frame.scale + box.y, field.height);
	mark.style.width = part(box.width, field.width);
	mark.style.height = part(box.height, field.height);
	mark.hidden = pad.stroke !== null;
	$('#framing').textContent = `Scaled and centred: the ink fills a box of ${box.width} x ${box.height} pixels` +
		`${done.inverted ? '; light and dark inverted' : ''}.`;
}

function showCurl() {
	const { invert, ...rest } = options({ invert: 'auto' });
	curl(curlForm('v1/classify', `${model.noun}.png`, rest));
}

// The label vector's way from noise (left) to the answer (right).
function makeTrajectory(steps) {
	const left = 34;
	const right = 440;
	const y = (value) => 115 - Math.max(-2.6, Math.min(2.6, value)) * 40;
	const figure = $('#trajectory');
	const lines = model.names.map(() => svg('polyline', { class: 'line', fill: 'none' }));
	const names = model.names.map((name) => svg('text', { x: right + 10, y: 0 }, name));
	const grid = [-1, 0, 1].flatMap((value) => [
		svg('line', { class: 'grid', x1: left, x2: right, y1: y(value), y2: y(value) }),
		svg('text', { x: left - 8, y: y(value) + 4, 'text-anchor': 'end' }, value > 0 ? `+${value}` : String(value)),
	]);
	figure.replaceChildren(...grid, ...lines, ...names,
		svg('text', { x: left, y: 222 }, 'noise'), svg('text', { x: right, y: 222, 'text-anchor': 'end' }, 'answer'));
	const points = model.names.map(() => []);
	return (step) => {
		const total = step.steps ?? steps;
		const x = left + (right - left) * step.step / total;
		const best = argmax(step.label);
		step.label.forEach((value, i) => {
			points[i].push(`${x.toFixed(1)},${y(value).toFixed(1)}`);
			lines[i].setAttribute('points', points[i].join(' '));
			lines[i].classList.toggle('win', i === best);
			names[i].setAttribute('x', x + 10);
			names[i].setAttribute('y', y(value) + 5);
			names[i].classList.toggle('win', i === best);
			names[i].textContent = i === best || value > -0.6 ? model.names[i] : '';
		});
	};
}
