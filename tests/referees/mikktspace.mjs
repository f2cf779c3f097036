// Reads float32 positions, normals and UVs of unindexed corners on standard input, writes float32 tangents (xyzw).
import { readFileSync } from "node:fs";
import mikktspace from "mikktspace";

const bytes = readFileSync(0);
const numbers = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
const corners = numbers.length / 8;
const tangents = mikktspace.generateTangents(
  numbers.slice(0, corners * 3),
  numbers.slice(corners * 3, corners * 6),
  numbers.slice(corners * 6),
);
process.stdout.write(new Uint8Array(tangents.buffer, tangents.byteOffset, tangents.byteLength));
