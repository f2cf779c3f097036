// Reads one model file on standard input (its name is the first argument), writes Assimp's scene as JSON.
import { readFileSync } from "node:fs";
import assimpjs from "assimpjs";

const assimp = await assimpjs();
const files = new assimp.FileList();
files.AddFile(process.argv[2], new Uint8Array(readFileSync(0)));
const result = assimp.ConvertFileList(files, "assjson");
if (!result.IsSuccess()) {
  process.stderr.write(`Assimp: ${result.GetErrorCode()}\n`);
  process.exit(1);
}
process.stdout.write(Buffer.from(result.GetFile(0).GetContent()));
