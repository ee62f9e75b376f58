// Twenty hand-like drawings, two a digit, made of strokes: no pixel of MNIST is in them. Points lie in a unit square,
// y downwards; each drawing also says where on the pad it goes, how large, how thick and by what means.

// Points along an ellipse; degrees, 0 is to the right, growing clockwise.
function arc(cx, cy, rx, ry, from, to) {
	const n = Math.max(8, Math.round(Math.abs(to - from) / 12));
	return Array.from({ length: n + 1 }, (_, i) => {
		const angle = (from + (to - from) * i / n) * Math.PI / 180;
		return [cx + rx * Math.cos(angle), cy + ry * Math.sin(angle)];
	});
}

const eight = Array.from({ length: 41 }, (_, i) => {
	const u = 2 * Math.PI * i / 40;
	return [0.5 + 0.3 * Math.sin(2 * u), 0.5 - 0.45 * Math.cos(u)];
});

const lean = (amount, strokes) => strokes.map((stroke) => stroke.map(([x, y]) => [x + amount * (0.5 - y), y]));

// A hand is not a plotter: a slow wave of one or two hundredths on every stroke.
const hand = (phase, strokes) => strokes.map((stroke) => stroke.map(([x, y], i) =>
	[x + 0.012 * Math.sin(1.1 * i + phase), y + 0.012 * Math.cos(0.9 * i + 2 * phase)]));

// size: side of the square as a share of the pad; x, y: its corner; width: of the pen, in 280ths of the pad.
const plans = [
	{ digit: 0, how: 'centred', by: 'mouse', size: 0.6, x: 0.2, y: 0.2, width: 20,
		strokes: [arc(0.5, 0.5, 0.32, 0.45, -90, 270)] },
	{ digit: 0, how: 'huge, thin, leaning', by: 'mouse', size: 0.92, x: 0.04, y: 0.04, width: 8,
		strokes: lean(0.2, [arc(0.5, 0.5, 0.26, 0.46, -60, 312)]) },
	{ digit: 1, how: 'leaning', by: 'touch', size: 0.6, x: 0.2, y: 0.2, width: 20,
		strokes: [[[0.58, 0.05], [0.53, 0.5], [0.45, 0.95]]] },
	{ digit: 1, how: 'tiny, off-centre', by: 'mouse', size: 0.16, x: 0.72, y: 0.1, width: 6,
		strokes: [[[0.53, 0.03], [0.52, 0.5], [0.5, 0.97]]] },
	{ digit: 2, how: 'centred', by: 'mouse', size: 0.62, x: 0.2, y: 0.18, width: 20,
		strokes: [[...arc(0.5, 0.3, 0.28, 0.25, 190, 400), [0.46, 0.7], [0.2, 0.93], [0.52, 0.92], [0.85, 0.94]]] },
	{ digit: 2, how: 'low in the corner', by: 'touch', size: 0.42, x: 0.03, y: 0.54, width: 14,
		strokes: [[...arc(0.48, 0.27, 0.26, 0.22, 200, 405), [0.5, 0.62], [0.24, 0.9], [0.55, 0.86], [0.84, 0.9]]] },
	{ digit: 3, how: 'thick', by: 'mouse', size: 0.62, x: 0.2, y: 0.18, width: 32,
		strokes: [[...arc(0.45, 0.28, 0.27, 0.23, 200, 445), ...arc(0.45, 0.73, 0.31, 0.24, -85, 155)]] },
	{ digit: 3, how: 'huge', by: 'mouse', size: 0.9, x: 0.05, y: 0.05, width: 22,
		strokes: [[...arc(0.46, 0.27, 0.28, 0.22, 190, 450), ...arc(0.44, 0.73, 0.34, 0.23, -88, 150)]] },
	{ digit: 4, how: 'open', by: 'mouse', size: 0.6, x: 0.2, y: 0.2, width: 18,
		strokes: [[[0.27, 0.05], [0.22, 0.3], [0.2, 0.54], [0.5, 0.55], [0.85, 0.53]],
			[[0.7, 0.1], [0.68, 0.5], [0.66, 0.97]]] },
	{ digit: 4, how: 'high in the corner, thin', by: 'touch', size: 0.45, x: 0.52, y: 0.03, width: 9,
		strokes: [[[0.28, 0.06], [0.2, 0.5], [0.5, 0.54], [0.86, 0.5]], [[0.75, 0.04], [0.7, 0.5], [0.64, 0.97]]] },
	{ digit: 5, how: 'one stroke', by: 'mouse', size: 0.6, x: 0.2, y: 0.2, width: 18,
		strokes: [[[0.78, 0.06], [0.52, 0.07], [0.3, 0.08], [0.27, 0.44], ...arc(0.45, 0.69, 0.31, 0.26, -120, 150)]] },
	{ digit: 5, how: 'two strokes, tiny', by: 'mouse', size: 0.2, x: 0.1, y: 0.7, width: 7,
		strokes: [[[0.32, 0.1], [0.28, 0.44], ...arc(0.45, 0.69, 0.31, 0.26, -115, 155)],
			[[0.32, 0.09], [0.55, 0.07], [0.84, 0.06]]] },
	{ digit: 6, how: 'round', by: 'mouse', size: 0.6, x: 0.2, y: 0.2, width: 18,
		strokes: [[...arc(0.76, 0.66, 0.51, 0.62, -100, -172), ...arc(0.5, 0.72, 0.25, 0.23, 180, -160)]] },
	{ digit: 6, how: 'grey pencil on grey paper, uploaded', by: 'upload', size: 0.5, x: 0.3, y: 0.3,
		width: 16, ink: 96, paper: 208,
		strokes: [[[0.62, 0.03], [0.44, 0.24], [0.31, 0.48], [0.26, 0.72], ...arc(0.49, 0.75, 0.24, 0.2, 185, -150)]] },
	{ digit: 7, how: 'plain', by: 'touch', size: 0.6, x: 0.2, y: 0.2, width: 20,
		strokes: [[[0.16, 0.09], [0.5, 0.08], [0.82, 0.08], [0.62, 0.5], [0.44, 0.96]]] },
	{ digit: 7, how: 'with a bar, thin', by: 'mouse', size: 0.7, x: 0.15, y: 0.15, width: 8,
		strokes: [[[0.15, 0.12], [0.5, 0.09], [0.82, 0.1], [0.62, 0.5], [0.47, 0.95]],
			[[0.36, 0.52], [0.6, 0.51], [0.82, 0.5]]] },
	{ digit: 8, how: 'one line', by: 'mouse', size: 0.62, x: 0.2, y: 0.18, width: 18,
		strokes: [eight] },
	{ digit: 8, how: 'white chalk on a dark board, uploaded', by: 'upload', size: 0.7, x: 0.1, y: 0.2,
		width: 20, ink: 190, paper: 40,
		strokes: [arc(0.5, 0.27, 0.21, 0.22, 90, 450), arc(0.5, 0.73, 0.26, 0.24, -90, 270)] },
	{ digit: 9, how: 'straight tail', by: 'mouse', size: 0.6, x: 0.2, y: 0.2, width: 18,
		strokes: [[...arc(0.48, 0.3, 0.25, 0.25, -20, -375), [0.72, 0.45], [0.7, 0.7], [0.67, 0.97]]] },
	{ digit: 9, how: 'curved tail, off-centre', by: 'touch', size: 0.5, x: 0.02, y: 0.05, width: 15,
		strokes: [[...arc(0.47, 0.3, 0.25, 0.24, -25, -370), [0.73, 0.45], [0.7, 0.68], [0.58, 0.86], [0.4, 0.95]]] },
];

// Points as shares of the pad.
export const drawings = plans.map((plan, i) => ({
	...plan,
	name: `${plan.digit}: ${plan.how}, by ${plan.by}`,
	strokes: hand(i, plan.strokes).map((stroke) =>
		stroke.map(([x, y]) => [plan.x + plan.size * x, plan.y + plan.size * y])),
}));
