/** Simplifies one model with the npm package onnxsim: `node npm-onnxsim.mjs <folder of the package> model.onnx out.onnx`. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [, , folder = "", path = "", target = ""] = process.argv;
const { simplify } = await import(pathToFileURL(join(folder, "index.mjs")).href);
const { model } = await simplify(await readFile(path));
await writeFile(target, model);
