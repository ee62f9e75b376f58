// Validates packaging/kubernetes/*.yaml: the Kubernetes kinds against the schemas of their API (npm's kubernetes-models
// carries them), unknown fields included; KServe's two kinds against what their reference says of the fields we use,
// their containers against Kubernetes' own Container. Prints TAP. Run by manifests.sh, which installs the packages.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [folder, modules] = process.argv.slice(2);
const require = createRequire(modules + '/package.json');
const load = (name) => import(pathToFileURL(require.resolve(name)));
const YAML = await load('yaml');
const Ajv = (await load('ajv')).default;
const schemas = modules + '/node_modules/kubernetes-models/_schemas/';

const text = { type: 'string', minLength: 1 };
const object = (properties, required = []) => ({ type: 'object', properties, required, additionalProperties: false });
const list = (items) => ({ type: 'array', items, minItems: 1 });
const strings = { type: 'object', additionalProperties: { type: 'string' } };
const modelFormat = object({ name: text, version: text }, ['name']);
const kserve = {
	ServingRuntime: object({
		annotations: strings,
		supportedModelFormats: list(object({
			name: text, version: text, autoSelect: { type: 'boolean' }, priority: { type: 'integer', minimum: 1 },
		}, ['name'])),
		protocolVersions: list({ enum: ['v1', 'v2', 'grpc-v1', 'grpc-v2'] }),
		multiModel: { type: 'boolean' },
		containers: list({ type: 'object', required: ['name', 'image'] }),
	}, ['containers']),
	InferenceService: object({
		predictor: object({
			minReplicas: { type: 'integer', minimum: 0 },
			maxReplicas: { type: 'integer', minimum: 1 },
			model: object({ runtime: text, modelFormat, storageUri: { type: 'string', pattern: '^(pvc|s3|gs|https?)://' } },
				['modelFormat']),
		}, ['model']),
	}, ['predictor']),
};
const kserveVersion = { ServingRuntime: 'v1alpha1', InferenceService: 'v1beta1' };
const kubernetes = {
	'apps/v1/Deployment': 'IoK8sApiAppsV1Deployment',
	'v1/Service': 'IoK8sApiCoreV1Service',
	'networking.k8s.io/v1/NetworkPolicy': 'IoK8sApiNetworkingV1NetworkPolicy',
	'policy/v1/PodDisruptionBudget': 'IoK8sApiPolicyV1PodDisruptionBudget',
	'autoscaling/v2/HorizontalPodAutoscaler': 'IoK8sApiAutoscalingV2HorizontalPodAutoscaler',
};

let count = 0;
let failed = 0;
function report(name, problems) {
	count++;
	console.log(`${problems.length ? 'not ok' : 'ok'} ${count} - ${name}`);
	for (const problem of problems)
		console.log('# ' + problem);
	failed += problems.length ? 1 : 0;
}

async function kubernetesProblems(type, schema, value) {
	const { validate } = await import(pathToFileURL(schemas + schema + '.js'));
	const problems = [];
	try {
		if (validate(value) === false)
			problems.push(...(validate.errors ?? []).map((e) => `${e.instancePath} ${e.message}`));
	} catch (error) {
		problems.push(error.message);
	}
	return problems.concat(unknownFields(type, value));
}

// The schemas allow unknown fields, which is how a misspelt one goes unnoticed. The TypeScript declarations do not.
function unknownFields(type, value) {
	const [, from, name] = /^(.*)\/([^/]+)$/.exec(type);
	const file = `${modules}/manifest-check.ts`;
	writeFileSync(file, `import type { I${name} } from "kubernetes-models/${from}";\n` +
		`const value: I${name} = ${JSON.stringify(value, null, 1)};\nexport default value;\n`);
	const run = spawnSync(process.execPath, [require.resolve('typescript/bin/tsc'), '--noEmit', '--strict', '--skipLibCheck',
		'--module', 'nodenext', '--moduleResolution', 'nodenext', file], { cwd: modules, encoding: 'utf8' });
	return run.status === 0 ? [] : run.stdout.trim().split('\n');
}

for (const file of ['jointflow.yaml', 'kserve.yaml']) {
	const documents = YAML.parseAllDocuments(readFileSync(`${folder}/${file}`, 'utf8'));
	for (const document of documents) {
		const problems = document.errors.map((error) => error.message);
		const value = document.toJS();
		const name = `${file}: ${value.kind} ${value.metadata?.name}`;
		if (kserve[value.kind]) {
			if (value.apiVersion !== `serving.kserve.io/${kserveVersion[value.kind]}`)
				problems.push(`apiVersion ${value.apiVersion}`);
			const validate = new Ajv({ allErrors: true }).compile(kserve[value.kind]);
			if (!validate(value.spec))
				problems.push(...validate.errors.map((e) => `/spec${e.instancePath} ${e.message} ${JSON.stringify(e.params)}`));
			for (const container of value.spec.containers ?? [])
				problems.push(...await kubernetesProblems('v1/Container', 'IoK8sApiCoreV1Container', container));
		} else {
			const type = `${value.apiVersion}/${value.kind}`;
			problems.push(...kubernetes[type] ? await kubernetesProblems(type, kubernetes[type], value) : [`unknown kind ${type}`]);
		}
		report(name, problems);
	}
}

// What no schema says: an apply must not undo the autoscaler's decision, and who may connect is written down.
const all = YAML.parseAllDocuments(readFileSync(`${folder}/jointflow.yaml`, 'utf8')).map((document) => document.toJS());
const of = (kind) => all.filter((value) => value.kind === kind);
report('jointflow.yaml: no replicas beside an autoscaler', of('HorizontalPodAutoscaler').flatMap((scaler) =>
	of('Deployment').filter((deployment) => deployment.metadata.name === scaler.spec.scaleTargetRef.name &&
		'replicas' in deployment.spec).map((deployment) => `${deployment.metadata.name} has replicas`)));
report('jointflow.yaml: a NetworkPolicy selects the pods of every Deployment', of('Deployment').filter((deployment) =>
	!of('NetworkPolicy').some((policy) => Object.entries(policy.spec.podSelector.matchLabels).every(([key, value]) =>
		deployment.spec.template.metadata.labels[key] === value))).map((deployment) => deployment.metadata.name));
console.log(`1..${count}`);
process.exit(failed ? 1 : 0);
