// Generate: a label goes in, pictures form out of noise.
import { curlJson, generateStream } from './api.js';
import { Playback, paintNoise } from './picture.js';
import {
	$, bringIntoView, capital, clearProblem, fillFields, followAddress, h, makeChooser, makeCurl, makePicture, makeSeed,
	numberOf, readAddress, saveSheet, showProblem, stepsDone, word, writeAddress,
} from './widgets.js';

let model;
let sliders;
let choose;
let seed;
let curl;
let running = null;
let last = ''; // what was asked last

const root = () => $('#generate');
const form = () => $('#generate-form');
const part = (name) => $(`[data-${name}]`, root());

export function setUp(model_) {
	model = model_;
	fillFields(form(), model, 'generate');
	choose = makeChooser(part('digits'), model.names, (digit) => {
		setDigit(digit);
		draw(true);
		bringIntoView(part('pictures').parentElement);
	}, (name) => `Draw ${name}`);
	sliders = model.names.map(makeSlider);
	part('mixer').replaceChildren(...sliders.map((slider) => slider.box));
	seed = makeSeed(part('seed'), () => draw(false), 7);
	curl = makeCurl(part('curl'));
	form().addEventListener('submit', (event) => {
		event.preventDefault();
		draw(true);
		bringIntoView(part('pictures').parentElement);
	});
	form().addEventListener('input', showCurl);
	part('cancel').addEventListener('click', () => running?.abort());
	setDigit(Math.min(7, model.names.length - 1));
	const given = readAddress('generate');
	fill(given);
	if (given.has('seed')) {
		seed.keep();
	}
	$('[data-save]', root()).addEventListener('click', () => saveSheet(part('pictures'), 'sheet.png'));
}

// The fields as an address has them.
function fill(given) {
	if (model.names.includes(given.get('class'))) {
		setDigit(model.names.indexOf(given.get('class')));
	} else if (given.has('label')) {
		given.get('label').split(',').forEach((value, i) => { if (sliders[i]) { sliders[i].value = value; } });
		choose(chosen());
	}
	followAddress(form(), given);
	showCurl();
}

export function follow(given) {
	fill(given);
	if (JSON.stringify(options()) !== last) {
		draw(false, false);
	}
}

function showAddress(asked, add) {
	const { digit, label: values, ...rest } = asked;
	writeAddress('generate', {
		...(values ? { label: values.join() } : { class: rest.class ?? model.names[digit] }), ...rest,
	}, add);
}

export function open() {
	if (!last) {
		draw(false, false);
	}
}

const showCurl = () => curl(curlJson('v1/generate', options(), `${model.noun}s.png`));

function makeSlider(name) {
	const value = h('output', {}, '');
	const input = h('input', {
		type: 'range', min: -1, max: 1, step: 0.05, value: -1, 'aria-label': `Label value of ${word(name)}`,
		'aria-orientation': 'vertical',
		oninput: () => {
			choose(chosen());
			show();
		},
		onchange: () => draw(false),
	});
	const show = () => { value.textContent = String(Number(input.value)).replace('-', '\u2212'); };
	show();
	return {
		box: h('label', {}, value, input, h('span', {}, name)),
		get value() { return Number(input.value); },
		set value(next) {
			input.value = next;
			show();
		},
	};
}

const label = () => sliders.map((slider) => slider.value);

// The digit whose one-hot label the sliders show, or -1.
function chosen() {
	const values = label();
	const high = values.indexOf(1);
	return values.every((value, i) => value === (i === high ? 1 : -1)) ? high : -1;
}

function setDigit(digit) {
	sliders.forEach((slider, i) => { slider.value = i === digit ? 1 : -1; });
	choose(digit);
	if (seed) {
		showCurl();
	}
}

function options() {
	const digit = chosen();
	return {
		...(digit >= 0 ? model.classOf(digit) : { label: label() }),
		count: numberOf(form(), 'count'),
		seed: seed.value(),
		steps: numberOf(form(), 'steps'),
		guidance: numberOf(form(), 'guidance'),
		solver: form().elements.solver.value,
	};
}

const title = (asked) => (asked.label ? 'A blend' : capital(word(String(asked.class ?? asked.digit))));

// fresh: with a new seed, unless it is to be kept. add: to the history.
async function draw(fresh, add = true) {
	running?.abort();
	if (fresh) {
		seed.next();
	}
	const asked = options();
	const controller = new AbortController();
	running = controller;
	last = JSON.stringify(asked);
	showCurl();
	showAddress(asked, add);
	$('[data-save]', root()).disabled = true;
	const count = Number.isInteger(asked.count) ? Math.min(Math.max(asked.count, 0), 256) : 0;
	const pictures = Array.from({ length: count }, (_, i) => makePicture(`Picture ${i + 1} of ${count}, being drawn`));
	pictures.forEach((picture) => paintNoise(picture.canvas, model.width, model.height));
	part('pictures').replaceChildren(...pictures.map((picture) => picture.button));
	await run(asked, pictures, controller);
}

async function run(asked, pictures, controller) {
	const problem = $('.problem', root());
	const progress = $('progress', root());
	const status = part('status');
	const { signal } = controller;
	clearProblem(root(), problem);
	part('cancel').hidden = false;
	root().dataset.state = 'running';
	let state = 'done';
	progress.value = 0;
	progress.max = Math.max(1, pictures.length * (Number(asked.steps) || 1));
	status.textContent = 'drawing';
	const playback = new Playback((item, image) => pictures[item]?.show(image), signal);
	const steps = [];
	try {
		const answer = await generateStream(asked, (step) => {
			progress.value = stepsDone(steps, step);
			if (step.image) {
				playback.push(step.item, step.image);
			}
		}, signal);
		await playback.done();
		signal.throwIfAborted();
		await Promise.all(answer.images.map((image, i) => pictures[i].finish({
			title: `${title(asked)}, picture ${i + 1}`,
			text: `Seed ${answer.seed}, picture ${i + 1} of ${answer.images.length}`,
			seed: answer.seed,
			base64: image.b64_json,
			file: `${model.noun}-${answer.seed}-${i + 1}.png`,
			curl: curlJson('v1/generate', { ...asked, count: 1, index: i }, `${model.noun}s.png`),
		})));
		progress.value = progress.max;
		status.textContent = `${answer.images.length} drawn`;
		$('[data-save]', root()).disabled = false;
	} catch (error) {
		state = signal.aborted ? 'cancelled' : 'failed';
		status.textContent = signal.aborted ? 'cancelled' : '';
		if (!signal.aborted) {
			part('pictures').replaceChildren();
		}
		showProblem(root(), problem, error);
	}
	if (running === controller) {
		running = null;
		part('cancel').hidden = true;
		root().dataset.state = state;
	}
}
