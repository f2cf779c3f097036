// Reads a GLB on standard input, writes the Khronos validator's report as JSON.
import { readFileSync } from "node:fs";
import validator from "gltf-validator";

const report = await validator.validateBytes(new Uint8Array(readFileSync(0)), { maxIssues: 0, writeTimestamp: false });
process.stdout.write(JSON.stringify(report));
