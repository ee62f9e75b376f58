// runtime.mjs FOLDER HEIGHT WIDTH CHANNELS CLASSES: onnxruntime as one of the peers that peers.py compares. The models in
// FOLDER are those of `jointflow export --onnx`; the protocol is that of bench/peers/engine.c.
import { createRequire } from "node:module";
import path from "node:path";
import readline from "node:readline";

const require = createRequire(path.join(process.env.JF_NODE_PROJECT, "package.json"));
const ort = require("onnxruntime-node");
const [folder, ...numbers] = process.argv.slice(2);
const [height, width, channels, classes] = numbers.map(Number);
const sessions = new Map();

async function session(what, threads) {
	const key = `${what} ${threads}`;
	if (!sessions.has(key))
		sessions.set(key, await ort.InferenceSession.create(path.join(folder, `${what}.onnx`), {
			intraOpNumThreads: threads, interOpNumThreads: 1, executionMode: "sequential",
			graphOptimizationLevel: "all", logSeverityLevel: 3,
		}));
	return sessions.get(key);
}

function filled(value, ...dims) {
	const data = new Float32Array(dims.reduce((a, b) => a * b));
	for (let i = 0; i < data.length; i++) data[i] = value ?? Math.sin(i * i);
	return new ort.Tensor("float32", data, dims);
}

function feeds(what, batch) {
	const image = filled(undefined, batch, height, width, channels);
	if (what === "posterior") return { image };
	return { image, label: filled(0, batch, classes), t_img: filled(0.5, batch), t_lab: filled(0.5, batch) };
}

for await (const line of readline.createInterface({ input: process.stdin })) {
	const [what, threads, batch, count] = line.split(" ").map((word, i) => (i ? Number(word) : word));
	const model = await session(what, threads), input = feeds(what, batch);
	await model.run(input);
	const cpu = process.cpuUsage(), start = process.hrtime.bigint();
	for (let i = 0; i < count; i++) await model.run(input);
	const wall = Number(process.hrtime.bigint() - start) / 1e9, used = process.cpuUsage(cpu);
	console.log(`${batch * count} ${wall} ${(used.user + used.system) / 1e6}`);
}
process.exit(0);
