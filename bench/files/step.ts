/**
 * One step on a large file, in a process of its own: `step.ts <step> <from> <to>`. Prints seconds (of the step, without the start of the
 * process) and the peak of the process's memory in bytes.
 */
import { readFileSync } from "node:fs";
import { copyFile, open as openFile, readFile, writeFile } from "node:fs/promises";
import { open, save } from "../../src/core/onnx/index.ts";
import { inMemory } from "../../src/core/tensor/dense.ts";
import { editedWeight, weightOf, writeLarge } from "./large.ts";
import { bufbuild, protobufjs } from "./peers.ts";

const steps: Readonly<Record<string, (from: string, to: string) => Promise<void>>> = {
  async nothing() {},

  /** `from`: MiB. */
  write: (from, to) => writeLarge(to, Number(from), false),
  writeOutside: (from, to) => writeLarge(to, Number(from), true),

  async copy(from, to) {
    await copyFile(from, to);
    await sync(to);
  },

  async copyOutside(from, to) {
    for (const ending of ["", "_data"]) await copyFile(`${from}${ending}`, `${to}${ending}`);
    for (const ending of ["", "_data"]) await sync(`${to}${ending}`);
  },

  edit: (from, to) => edit(from, to, false),
  editOutside: (from, to) => edit(from, to, true),

  async protobufjs(from, to) {
    const { decode, encode } = await protobufjs();
    const model = decode(await readFile(from));
    const tensor = model.graph.initializer.find(({ name }) => name === editedWeight);
    if (tensor !== undefined) tensor.raw_data = rawWeight();
    model.metadata_props.push({ key: "edited", value: "yes" });
    await writeFile(to, encode(model));
    await sync(to);
  },

  async bufbuild(from, to) {
    const { decode, encode, setRaw, addMetadata } = await bufbuild();
    const model = decode(await readFile(from));
    setRaw(model, editedWeight, rawWeight());
    addMetadata(model, "edited", "yes");
    await writeFile(to, encode(model));
    await sync(to);
  },
};

async function edit(from: string, to: string, externalData: boolean): Promise<void> {
  const model = await open(from);
  const weight = model.graph.value(editedWeight);
  if (weight === undefined) throw new Error(`${from} has no ${editedWeight}`);
  weight.tensor = inMemory(weightOf(1_000_000));
  model.header.metadata.set("edited", "yes");
  await save(model, to, { externalData });
}

function rawWeight(): Uint8Array {
  return new Uint8Array(weightOf(1_000_000).data.buffer);
}

/** All sides bring what they write to the disk. */
async function sync(path: string): Promise<void> {
  const handle = await openFile(path, "r+");
  await handle.sync();
  await handle.close();
}

function peakBytes(): number {
  try {
    const [, kibibytes] = /VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
    if (kibibytes !== undefined) return 1024 * Number(kibibytes);
  } catch {
    // Not Linux.
  }
  return 1024 * process.resourceUsage().maxRSS;
}

const [name = "", from = "", to = ""] = process.argv.slice(2);
const step = steps[name];
if (step === undefined) throw new Error(`There is no step "${name}".`);
const started = performance.now();
await step(from, to);
const seconds = (performance.now() - started) / 1000;
process.stdout.write(`${JSON.stringify({ seconds, peak: peakBytes() })}\n`);
