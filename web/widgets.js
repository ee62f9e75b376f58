// Small parts that several tabs share.
import { Problem, isAbort } from './api.js';
import { decode, paint, pngBlob } from './picture.js';

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// h('button', { type: 'button', class: 'x', onclick: f }, 'text', child)
export function h(tag, properties = {}, ...children) {
	const node = document.createElement(tag);
	for (const [name, value] of Object.entries(properties)) {
		if (name.startsWith('on')) {
			node.addEventListener(name.slice(2), value);
		} else if (value === true) {
			node.setAttribute(name, '');
		} else if (value !== false && value !== undefined) {
			node.setAttribute(name, value);
		}
	}
	node.append(...children.filter((child) => child !== undefined));
	return node;
}

export function svg(tag, attributes = {}, text) {
	const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
	for (const [name, value] of Object.entries(attributes)) {
		node.setAttribute(name, value);
	}
	if (text !== undefined) {
		node.textContent = text;
	}
	return node;
}

const icon = (name) => {
	const node = svg('svg');
	node.append(svg('use', { href: `#i-${name}` }));
	return node;
};

// Never "100 %": the network is never that sure. The bars' figures have no sign before them and stop at 99.9.
export const percent = (p) => (p > 0.999 ? '> 99.9 %' : p < 0.0005 ? '0 %' : `${(100 * p).toFixed(1)} %`);
const share = (p) => (p < 0.0005 ? '0 %' : `${(100 * Math.min(p, 0.999)).toFixed(1)} %`);

const words = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'];
export const word = (name) => (/^\d$/.test(name) ? words[name] : name);
export const capital = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);

export const argmax = (values) => values.reduce((best, value, i) => (value > values[best] ? i : best), 0);

// --- bars ----------------------------------------------------------------------------------------------------------

export function makeBars(list, names) {
	const rows = names.map((name) => {
		const fill = h('div', { class: 'fill' });
		const value = h('span', { class: 'value' }, '');
		const row = h('li', {}, h('span', { class: 'name' }, name), h('div', { class: 'track' }, fill), value);
		return { row, fill, value };
	});
	list.replaceChildren(...rows.map((r) => r.row));
	return (values, winner, text = share) => rows.forEach(({ row, fill, value }, i) => {
		const share = values ? Math.min(1, Math.max(0, values[i])) : 0;
		fill.style.transform = `scaleX(${share})`;
		value.textContent = values ? text(values[i]) : '';
		row.classList.toggle('win', values !== null && i === winner);
	});
}

// A row of one button a class; names of more than two letters get wider buttons.
export function makeChooser(box, names, choose, label = (name) => name) {
	box.classList.toggle('named', names.some((name) => name.length > 2));
	const buttons = names.map((name, i) => h('button',
		{ type: 'button', 'aria-pressed': 'false', 'aria-label': label(name), onclick: () => choose(i) }, name));
	box.replaceChildren(...buttons);
	return (chosen) => buttons.forEach((button, i) => button.setAttribute('aria-pressed', String(i === chosen)));
}

// --- fields and problems -------------------------------------------------------------------------------------------

const newSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

// Fills box with the seed field; returns { value(), next(), keep() }.
// canKeep: false where every drawing takes the seed that stands there, so that there is nothing to lock.
export function makeSeed(box, rolled, start = newSeed(), canKeep = true) {
	box.append($('#t-seed').content.cloneNode(true));
	const input = $('input', box);
	const lock = $('[data-lock]', box);
	input.id = `seed-${Math.random().toString(36).slice(2)}`;
	$('label', box).htmlFor = input.id;
	input.value = start;
	lock.hidden = !canKeep;
	input.addEventListener('change', () => setLock(true));
	$('[data-dice]', box).addEventListener('click', () => {
		input.value = newSeed();
		rolled();
	});
	function setLock(on) {
		lock.setAttribute('aria-pressed', String(on));
		$('use', lock).setAttribute('href', on ? '#i-lock' : '#i-unlock');
	}
	lock.addEventListener('click', () => setLock(lock.getAttribute('aria-pressed') !== 'true'));
	return {
		// A number where it is one; anything else goes to the server as it is, whose words then stand at the field.
		value: () => (/^\d+$/.test(input.value.trim()) ? Number(input.value) : input.value),
		keep: () => setLock(true),
		next() {
			if (lock.getAttribute('aria-pressed') !== 'true') {
				input.value = newSeed();
			}
		},
	};
}

export function numberOf(form, name) {
	const text = form.elements[name].value;
	return text.trim() === '' || Number.isNaN(Number(text)) ? text : Number(text);
}

// Selects get the choices that the server has; a select, and a field without a value, the question's default.
export function fillFields(form, model, question) {
	const { choices } = model.raw;
	const defaults = model.raw.defaults[question];
	for (const select of $$('select', form)) {
		select.replaceChildren(...choices[select.name].map((name) => h('option', { value: name }, name)));
		select.value = defaults[select.name];
	}
	for (const input of $$('input[name]', form)) {
		if (input.value === '' && input.name in defaults) {
			input.value = defaults[input.name];
		}
	}
}

// --- terms -------------------------------------------------------------------------------------------------------

const terms = {
	guidance: ['guidance',
		'How closely pictures follow their label: 1 is as the network learned it, higher is clearer but less varied.'],
	solver: ['the solver',
		'The method that turns noise into pictures: ancestral adds a little fresh noise in its first steps, the others do not.'],
	steps: ['a step', 'Each step removes some of the noise; more steps take longer and can give cleaner results.'],
	seed: ['the seed', 'The number that the noise is made from: the same seed and settings give the same result.'],
	posterior: ['at a glance', 'At a glance asks the network once for the probability of every label (the posterior); '
		+ 'step by step starts several labels as noise and lets them vote.'],
	samples: ['a sample', 'One label that starts as noise and settles on an answer; several of them vote.'],
	label: ['the label',
		'One slider for each class, from \u22121 (not at all) to +1 (fully); raise two of them for a mixture.'],
	familiar: ['familiar', 'How much the picture resembles those that the network learned from.'],
	sure: ['the percentage', 'How sure the network is of the label when it looks at the finished picture.'],
};

// A "?" after each element that names a term: it shows and hides one sentence, which a screen reader is told.
export function explainTerms() {
	for (const node of $$('[data-term]')) {
		const [name, sentence] = terms[node.dataset.term];
		const tip = h('span', { class: 'tip', role: 'status' });
		const button = h('button', {
			type: 'button', class: 'help', 'aria-label': `What is ${name}?`, 'aria-expanded': 'false',
			onclick: () => show(!tip.textContent),
			onkeydown: (event) => {
				if (event.key === 'Escape' && tip.textContent) {
					event.stopPropagation();
					show(false);
				}
			},
		}, '?');
		const show = (on) => {
			tip.textContent = on ? sentence : '';
			button.setAttribute('aria-expanded', String(on));
		};
		const box = h('div', { class: `explained ${node.classList.contains('wide') ? 'wide' : ''}` });
		node.replaceWith(box);
		box.append(node, button, tip);
	}
}

export function clearProblem(root, box) {
	box.hidden = true;
	for (const node of $$('[aria-invalid]', root)) {
		node.removeAttribute('aria-invalid');
		node.removeAttribute('aria-describedby');
	}
	$$('.fielderror[data-made]', root).forEach((node) => node.remove());
	$$('.fielderror[data-error]', root).forEach((node) => { node.hidden = true; });
}

// Puts the problem document's words next to the fields they are about; what belongs to no field goes to the box.
export function showProblem(root, box, problem) {
	if (isAbort(problem)) {
		return;
	}
	clearProblem(root, box);
	if (!(problem instanceof Problem)) {
		console.warn(problem);
		box.textContent = `This page could not go on: ${problem.message}`;
		box.hidden = false;
		return;
	}
	const rest = [];
	problem.errors.forEach((error, i) => {
		const name = String(error.pointer ?? error.parameter ?? '').replace(/^#?\/?/, '').split('/')[0];
		if (!atField(root, name, error.detail, i)) {
			rest.push(error.detail);
		}
	});
	if (problem.errors.length && !rest.length) {
		return;
	}
	const title = h('strong', {}, problem.title ? `${problem.title}. ` : '');
	const all = rest.length ? rest.join(' ') : problem.detail;
	box.replaceChildren(title, all, h('small', {}, problem.requestId ? `Request ${problem.requestId}` : ''));
	box.hidden = false;
}

function atField(root, name, words_, i) {
	if (!name) {
		return false;
	}
	const fixed = $(`[data-error="${CSS.escape(name)}"]`, root);
	if (fixed) {
		fixed.textContent = words_;
		fixed.hidden = false;
		return true;
	}
	const input = $(`[name="${CSS.escape(name)}"]`, root);
	if (!input || input.type === 'radio') {
		return false;
	}
	const id = `error-${root.id}-${name}-${i}`;
	input.setAttribute('aria-invalid', 'true');
	input.setAttribute('aria-describedby', id);
	const folded = input.closest('details');
	if (folded) {
		folded.open = true;
	}
	input.closest('.field').append(h('span', { class: 'fielderror', id, 'data-made': true, role: 'alert' }, words_));
	return true;
}

// --- curl ----------------------------------------------------------------------------------------------------------

async function copy(text) {
	try {
		await navigator.clipboard.writeText(text);
		return 'Copied.';
	} catch {
		return `Copy this by hand: ${text}`;
	}
}

export function makeCurl(box) {
	const text = h('pre', { tabindex: '0', 'aria-label': 'curl command' });
	const live = h('span', { class: 'quiet', role: 'status' });
	const button = h('button', {
		type: 'button', class: 'small',
		onclick: async () => { live.textContent = await copy(text.textContent); },
	}, icon('copy'), 'Copy');
	box.replaceChildren(text, h('p', { class: 'go' }, button, live));
	return (command) => {
		text.textContent = command;
		live.textContent = '';
	};
}

// --- addresses: #tab?field=value ---------------------------------------------------------------------------------

const address = () => {
	const [tab, query] = location.hash.slice(1).split('?');
	return { tab: tab || 'classify', values: new URLSearchParams(query) };
};

// What the address says of a tab, field by field.
export const readAddress = (tab) => (address().tab === tab ? address().values : new URLSearchParams());

// The address holds what its tab shows, for whoever copies it. What was there before stays in the history, so that the
// back button returns to it; add false: it is replaced. The drawing, the history's own state, goes along.
export function writeAddress(tab, values, add = true) {
	const query = String(new URLSearchParams(values));
	const hash = `#${tab}${query && '?'}${query}`;
	if (address().tab === tab && hash !== (location.hash || '#classify')) {
		history[add ? 'pushState' : 'replaceState'](history.state, '', hash);
	}
}

// Fills the form's fields from the address; folded ones are shown when they are not as usual.
export function followAddress(form, values) {
	for (const [name, value] of values) {
		const field = form.elements[name];
		if (field && 'value' in field) {
			const folded = field.closest?.('details');
			if (folded && field.value !== value) {
				folded.open = true;
			}
			field.value = value;
		}
	}
}

// --- saving ------------------------------------------------------------------------------------------------------

export function saveBlob(blob, name) {
	const url = URL.createObjectURL(blob);
	h('a', { href: url, download: name }).click();
	setTimeout(() => URL.revokeObjectURL(url), 10000);
}

// All pictures of a box on one sheet, four times as large, as the server's own.
export async function saveSheet(box, name) {
	const scale = 4;
	const gap = 2;
	const canvases = $$('canvas', box);
	const columns = Math.ceil(Math.sqrt(canvases.length));
	const rows = Math.ceil(canvases.length / columns);
	const [width, height] = [canvases[0].width * scale + gap, canvases[0].height * scale + gap];
	const sheet = new OffscreenCanvas(columns * width + gap, rows * height + gap);
	const context = sheet.getContext('2d');
	context.imageSmoothingEnabled = false;
	context.fillRect(0, 0, sheet.width, sheet.height);
	canvases.forEach((canvas, i) => context.drawImage(canvas, gap + i % columns * width,
		gap + Math.floor(i / columns) * height, width - gap, height - gap));
	saveBlob(await sheet.convertToBlob({ type: 'image/png' }), name);
}

// --- progress ------------------------------------------------------------------------------------------------------

// Steps done over all items; steps: how far each item has come.
export function stepsDone(steps, { item, step }) {
	steps[item] = step;
	return steps.reduce((sum, done) => sum + done, 0);
}

// On a small screen the pictures are below the form that asks for them: whoever asks wants to see them.
export function bringIntoView(node) {
	const box = node.getBoundingClientRect();
	if (box.top > innerHeight - Math.min(box.height, 120)) {
		const behavior = matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth';
		node.scrollIntoView({ behavior, block: 'start' });
	}
}

// --- pictures ------------------------------------------------------------------------------------------------------

// A button that shows one picture. what: { title, text, seed, curl, base64 }, filled when the picture is finished.
export function makePicture(label, open = openCard) {
	const canvas = h('canvas', { width: 28, height: 28 });
	const button = h('button', { type: 'button', class: 'picture', disabled: true, 'aria-label': label }, canvas);
	const picture = {
		button, canvas, what: null,
		async show(base64) {
			const bitmap = await decode(base64);
			paint(canvas, bitmap);
			bitmap.close();
		},
		async finish(what) {
			picture.what = what;
			await picture.show(what.base64);
			button.disabled = false;
			button.setAttribute('aria-label', what.title);
		},
	};
	button.addEventListener('click', () => open(picture.what));
	return picture;
}

let shown = null;
let saved = null;

export async function openCard(what) {
	const dialog = $('#card');
	shown = what;
	$('#card-title').textContent = what.title;
	$('#card-text').textContent = what.text;
	$('#card-live').textContent = '\u00a0';
	const bitmap = await decode(what.base64);
	paint($('#card-image'), bitmap);
	$('#card-image').setAttribute('aria-label', what.title);
	URL.revokeObjectURL(saved);
	saved = URL.createObjectURL(pngBlob(what.base64));
	$('#card-save').href = saved;
	$('#card-save').download = what.file;
	if (!dialog.open) {
		dialog.showModal();
	}
}

export function setUpCard(classifyThis) {
	const live = $('#card-live');
	$('#card-classify').addEventListener('click', () => {
		$('#card').close();
		classifyThis(pngBlob(shown.base64), true);
	});
	$('#card-seed').addEventListener('click', async () => { live.textContent = await copy(String(shown.seed)); });
	$('#card-curl').addEventListener('click', async () => { live.textContent = await copy(shown.curl); });
	$('#card').addEventListener('click', (event) => {
		if (event.target === event.currentTarget && event.offsetX !== undefined && outside(event)) {
			event.currentTarget.close();
		}
	});
}

function outside(event) {
	const box = event.currentTarget.getBoundingClientRect();
	return event.clientX < box.left || event.clientX > box.right || event.clientY < box.top || event.clientY > box.bottom;
}
