// compare.mjs FOLDER HEIGHT WIDTH CHANNELS CLASSES: the models in FOLDER, run by onnxruntime, against what the engine
// answered (posterior.bin, field.bin from tests/onnx/reference). Prints TAP's result lines without numbers.
import { createRequire } from "node:module";
import fs from "node:fs";
import path from "node:path";

const require = createRequire(path.join(process.env.JF_NODE_PROJECT, "package.json"));
const ort = require("onnxruntime-node");

const [folder, ...numbers] = process.argv.slice(2);
const [height, width, channels, classes] = numbers.map(Number);
const pixels = height * width * channels;
const BATCH = 100;
const LIMIT = 1e-5;

function floats(file) {
	const bytes = fs.readFileSync(path.join(folder, file));
	return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

// Columns `from` .. `from + count` of rows first .. first + n of a table whose rows have `row` numbers.
function columns(table, row, first, n, from, count) {
	const out = new Float32Array(n * count);
	for (let i = 0; i < n; i++)
		out.set(table.subarray((first + i) * row + from, (first + i) * row + from + count), i * count);
	return out;
}

function tensor(data, ...dims) {
	return new ort.Tensor("float32", data, dims);
}

function furthest(a, b) {
	let most = 0;
	if (a.length !== b.length) return Infinity;
	for (let i = 0; i < a.length; i++) {
		const distance = Math.abs(a[i] - b[i]);
		if (!(distance <= most)) most = distance; // a NaN counts
	}
	return most;
}

const arg_max = (values) => values.indexOf(Math.max(...values));

async function open(file) {
	return ort.InferenceSession.create(path.join(folder, file), { intraOpNumThreads: 2, logSeverityLevel: 3 });
}

async function posterior() {
	const session = await open("posterior.onnx");
	const table = floats("posterior.bin"), row = pixels + classes, n = table.length / row;
	let other = 0, most = 0;
	for (let first = 0; first < n; first += BATCH) {
		const m = Math.min(BATCH, n - first);
		const image = columns(table, row, first, m, 0, pixels), expected = columns(table, row, first, m, pixels, classes);
		const { probabilities, label } = await session.run({ image: tensor(image, m, height, width, channels) });
		most = Math.max(most, furthest(probabilities.data, expected));
		for (let i = 0; i < m; i++)
			if (Number(label.data[i]) !== arg_max(Array.from(expected.subarray(i * classes, (i + 1) * classes)))) other++;
	}
	console.log(`# posterior: ${n} images, ${other} labels differ, largest difference of a probability ${most}`);
	console.log(`${n > 0 && other === 0 ? "ok" : "not ok"} the same label for each of ${n} images`);
	console.log(`${n > 0 && most <= LIMIT ? "ok" : "not ok"} probabilities within ${LIMIT}`);
}

async function field() {
	const session = await open("field.onnx");
	const head = session.outputNames.find((name) => name.startsWith("label_"));
	const table = floats("field.bin"), row = 2 * pixels + 2 * classes + 2, n = table.length / row;
	const at = (from, count) => columns(table, row, 0, n, from, count);
	const answer = await session.run({
		image: tensor(at(0, pixels), n, height, width, channels),
		label: tensor(at(pixels, classes), n, classes),
		t_img: tensor(at(pixels + classes, 1), n),
		t_lab: tensor(at(pixels + classes + 1, 1), n),
	});
	const image = furthest(answer.image_velocity.data, at(pixels + classes + 2, pixels));
	const label = furthest(answer[head].data, at(2 * pixels + classes + 2, classes));
	const largest = Math.max(...at(2 * pixels + classes + 2, classes).map(Math.abs), 1);
	console.log(`# field: ${n} inputs, largest difference of the image's velocity ${image}, of ${head} ${label} (values to ${largest})`);
	console.log(`${n > 0 && image <= LIMIT ? "ok" : "not ok"} the image's velocity within ${LIMIT}`);
	console.log(`${n > 0 && label <= LIMIT * largest ? "ok" : "not ok"} ${head} within ${LIMIT} of the largest`);
}

await posterior();
await field();
