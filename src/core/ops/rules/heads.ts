/** Recognizes a Reshape and a Transpose that split attention heads. */
import { fixedDims, sameDims, type Value } from "#graph";
import type { Site } from "../define.ts";
import { readIntegers } from "../shared/attributes.ts";
import { producerOf, type StructureScope } from "./rule.ts";

/** Returns the value of batch × tokens × (heads · width) whose heads a Reshape and a Transpose split. */
export function readSplit(value: Value | undefined, { operand, site }: Pick<StructureScope, "operand" | "site">) {
  const moved = producerOf(value, "Transpose");
  const [split] = moved?.inputs ?? [];
  const [source] = producerOf(split, "Reshape")?.inputs ?? [];
  if (moved === undefined || split === undefined || source === undefined || !movesHeads(site(moved))) return undefined;
  const [dims, splitDims] = [operand(source)?.dims, operand(split)?.dims];
  const [heads, width] = fixedDims(splitDims?.slice(2)) ?? [];
  if (dims === undefined || splitDims?.length !== 4 || heads === undefined || width === undefined) return undefined;
  return sameDims(dims, [...splitDims.slice(0, 2), heads * width]) ? { source, heads, width } : undefined;
}

export const movesHeads = (site: Site): boolean => readIntegers(site, "perm")?.join() === "0,2,1,3";
