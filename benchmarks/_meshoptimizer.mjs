// Simplify a mesh by meshoptimizer: node _meshoptimizer.mjs MODULE IN OUT TARGET [WEIGHT]
// IN: counts of vertices and faces as uint32, float32 positions, uint32 corners, with WEIGHT float32 texture
// coordinates behind them, which then count by that weight. OUT: uint32 corners. Prints the milliseconds.
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [modulePath, input, output, target, weight] = process.argv.slice(2);
const { MeshoptSimplifier } = await import(pathToFileURL(modulePath).href);
await MeshoptSimplifier.ready;
const bytes = readFileSync(input);
const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
const [vertices, faces] = new Uint32Array(buffer, 0, 2);
const positions = new Float32Array(buffer, 8, vertices * 3);
const corners = new Uint32Array(buffer, 8 + vertices * 12, faces * 3);
const started = performance.now();
const wanted = Number(target) * 3;
const weights = [Number(weight), Number(weight)];
const uvs = () => new Float32Array(buffer, 8 + vertices * 12 + faces * 12, vertices * 2);
const [found] = weight
  ? MeshoptSimplifier.simplifyWithAttributes(corners, positions, 3, uvs(), 2, weights, null, wanted, 1.0)
  : MeshoptSimplifier.simplify(corners, positions, 3, wanted, 1.0);
console.log(performance.now() - started);
writeFileSync(output, Buffer.from(found.buffer, found.byteOffset, found.byteLength));
