/** Compressed copies of a model, which servers of static files send instead of it. */
import { stat } from "node:fs/promises";
import * as v from "valibot";
import type { Chunks, Encoding } from "#platform";
import { bytesOfFile } from "../data/file-hash.ts";
import type { CompressedSize } from "../evaluate/index.ts";
import { option } from "../passes/options.ts";
import { compressed } from "../platform/node-compress.ts";
import { writeFileAtomically } from "../platform/node-write.ts";
import { isThere } from "./files.ts";

const encodings = ["gzip", "br"] as const;
const endings: Readonly<Record<Encoding, string>> = { gzip: ".gz", br: ".br" };
const sizeNames = { gzip: "gzip", br: "brotli" } as const;

export const precompressFlag = {
  precompress: option(v.array(v.picklist(encodings)), "also write compressed copies for web servers: .gz, .br", {
    value: "gzip,br",
  }),
};

export const copiesOf = (path: string, wanted: readonly Encoding[] = []): readonly string[] =>
  encodings.filter((encoding) => wanted.includes(encoding)).map((encoding) => `${path}${endings[encoding]}`);

/** Returns the copies of an earlier model at this path, which a server would send instead of the new one. */
export async function outdatedCopies(path: string, written: readonly Encoding[] = []): Promise<readonly string[]> {
  const others = encodings.filter((encoding) => !written.includes(encoding));
  const found = await Promise.all(copiesOf(path, others).map(async (copy) => ((await isThere(copy)) ? [copy] : [])));
  return found.flat();
}

/** Writes a copy of each file in each encoding, and returns their total sizes. */
export async function precompress(
  files: readonly string[],
  wanted: readonly Encoding[] = [],
): Promise<Partial<CompressedSize>> {
  const sizes: Partial<Record<"gzip" | "brotli", number>> = {};
  for (const encoding of new Set(wanted)) {
    let total = 0;
    for (const file of files) {
      const copy = `${file}${endings[encoding]}`;
      await writeFileAtomically(
        copy,
        compressed(() => bytesOfFile(file), encoding),
      );
      total += (await stat(copy)).size;
    }
    sizes[sizeNames[encoding]] = total;
  }
  return exact(sizes);
}

/** Compresses a file in memory: the name and bytes of each copy. */
export async function copiesInMemory(
  name: string,
  bytes: Uint8Array,
  wanted: readonly Encoding[] = [],
): Promise<{
  readonly copies: readonly (readonly [name: string, bytes: Uint8Array])[];
  readonly sizes: Partial<CompressedSize>;
}> {
  const copies: (readonly [string, Uint8Array])[] = [];
  const sizes: Partial<Record<"gzip" | "brotli", number>> = {};
  for (const encoding of new Set(wanted)) {
    const copy = await joined(compressed(() => [bytes], encoding));
    copies.push([`${name}${endings[encoding]}`, copy]);
    sizes[sizeNames[encoding]] = copy.length;
  }
  return { copies, sizes: exact(sizes) };
}

async function joined(pieces: Chunks): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

const exact = (sizes: Partial<Record<"gzip" | "brotli", number>>): Partial<CompressedSize> =>
  sizes.gzip === undefined || sizes.brotli === undefined ? sizes : { ...sizes, sampled: false };
