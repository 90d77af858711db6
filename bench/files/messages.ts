/** Opens and saves every model of ONNX's backend tests and of the shared folder. Two other protobuf implementations check that the messages are equal. */
import { readFileSync, statSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { encodeToBytes } from "../../src/core/onnx/encode.ts";
import { open, save } from "../../src/core/onnx/index.ts";
import { backendTests } from "../../test/laws/archive.ts";
import { shared } from "../../test/shared.ts";
import { line, table } from "../lib/print.ts";
import { bufbuild, type Protobufjs, protobufjs } from "./peers.ts";

export interface Given {
  readonly name: string;
  readonly group: string;
  /** Path of the file; absent if the model exists only as bytes. */
  readonly path?: string;
  readonly bytes: Uint8Array;
}

/** Returns all available models. */
export async function givenModels(): Promise<Given[]> {
  const tests = backendTests() ?? [];
  const models: Given[] = tests.map(({ name, bytes }) => ({ name, bytes, group: "ONNX's backend tests" }));
  for (const part of ["models", "zoo", "conformance/custom-ops"]) {
    const folder = shared(join("data", part));
    if (folder === undefined) continue;
    const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith(".onnx")).sort();
    for (const name of names) {
      const path = join(folder, name);
      if (!statSync(path).isFile()) continue;
      const bytes = new Uint8Array(readFileSync(path));
      models.push({ name: relative(folder, path), path, bytes, group: `shared ${part}` });
    }
  }
  return models;
}

interface Tally {
  models: number;
  identical: number;
  /** Number of models with external data, which are saved as one file. */
  takenIn: number;
  /** Number of equal messages, according to protobufjs and to @bufbuild/protobuf. */
  equal: [number, number];
}

/** @returns whether all messages are equal. */
export async function compareMessages(): Promise<boolean> {
  const [first, second] = [await protobufjs(), await bufbuild()];
  const plain = (message: Uint8Array) =>
    first.type.toObject(first.type.decode(message), { longs: String, bytes: String });
  const tallies = new Map<string, Tally>();
  const faults: string[] = [];
  const folder = await mkdtemp(join(tmpdir(), "pith-messages-"));
  for (const { name, group, path, bytes } of await givenModels()) {
    const tally = tallies.get(group) ?? { models: 0, identical: 0, takenIn: 0, equal: [0, 0] };
    tallies.set(group, tally);
    tally.models++;
    try {
      const saved =
        path === undefined ? await encodeToBytes(await open(bytes)) : await savedFile(path, join(folder, "saved.onnx"));
      if (Buffer.compare(saved, bytes) === 0) tally.identical++;
      // Saving as one file embeds external data, so the original is changed in the same way before the comparison.
      const expected = path === undefined ? bytes : withWeightsInside(path, bytes, first);
      if (expected !== bytes) tally.takenIn++;
      const same = [isDeepStrictEqual(plain(expected), plain(saved)), second.equal(expected, saved)] as const;
      if (same[0]) tally.equal[0]++;
      if (same[1]) tally.equal[1]++;
      if (!(same[0] && same[1])) faults.push(`${group}, ${name}: is another message`);
    } catch (error) {
      faults.push(`${group}, ${name}: ${error}`);
    }
  }
  await rm(folder, { recursive: true, force: true });
  line("\nOpened and saved");
  table(
    ["", ">models", ">same bytes", ">weights taken in", ">equal, by protobufjs", ">by @bufbuild/protobuf"],
    [...tallies].map(([group, { models, identical, takenIn, equal }]) => [
      group,
      ...[models, identical, takenIn, ...equal].map(String),
    ]),
  );
  line(
    "  Weights taken in: they lay in other files, and are saved into the model's own, as nothing else was asked for.",
  );
  for (const fault of faults) line(`  ${fault}`);
  return faults.length === 0 && tallies.size > 0;
}

/** Saves the model from file to file, which copies ranges and is a different path than saving bytes. */
async function savedFile(from: string, to: string): Promise<Uint8Array> {
  await save(await open(from), to);
  return new Uint8Array(await readFile(to));
}

interface OutsideTensor {
  raw_data?: Uint8Array;
  external_data: { key: string; value: string }[];
  data_location?: number;
}

function withWeightsInside(path: string, bytes: Uint8Array, { type }: Protobufjs): Uint8Array {
  const model = type.decode(bytes);
  const { graph } = model as typeof model & { graph: { initializer: OutsideTensor[] } };
  const outside = graph.initializer.filter((tensor) => tensor.data_location === 1);
  if (outside.length === 0) return bytes;
  for (const tensor of outside) {
    const entries = new Map(tensor.external_data.map(({ key, value }) => [key, value]));
    const file = readFileSync(join(path, "..", entries.get("location") ?? ""));
    const start = Number(entries.get("offset") ?? 0);
    tensor.raw_data = file.subarray(start, start + Number(entries.get("length") ?? file.length));
    tensor.external_data = [];
    delete tensor.data_location;
  }
  return type.encode(model).finish();
}
