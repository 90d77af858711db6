/** Weights in a file of their own, beside the model. */
import { allGraphs, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { Tensor } from "../tensor/types.ts";
import { type ExternalPlace, rawPiece } from "./write-tensor.ts";
import { type Piece, sizeOf, stream } from "./writer.ts";

export interface SaveOptions {
  /** Put weights of 1 KiB and more into `<path>.data` beside the model. */
  readonly externalData?: boolean;
}

/** Smaller tensors stay in the model: shape inference of other tools needs their numbers at hand. */
const leastBytes = 1024;
/** Runtimes map the file into memory, page by page. */
const alignment = 4096;

/** Lays out the file `location`: where each tensor goes, and the bytes of the whole. */
export function placeOutside(
  model: Model,
  location: string,
): {
  readonly place: (value: Value, tensor: Tensor) => ExternalPlace | undefined;
  readonly chunks: () => AsyncIterable<Uint8Array>;
} {
  const places = new Map<Tensor, ExternalPlace>();
  const pieces: Piece[] = [];
  let offset = 0;
  for (const graph of allGraphs(model.graph)) {
    for (const { tensor } of graph.values()) {
      if (tensor === undefined || tensor.type === "string" || tensor.bytes < leastBytes || places.has(tensor)) continue;
      const gap = (alignment - (offset % alignment)) % alignment;
      if (gap > 0) pieces.push(new Uint8Array(gap));
      const piece = rawPiece(tensor);
      offset += gap;
      places.set(tensor, { location, offset, length: sizeOf(piece) });
      pieces.push(piece);
      offset += sizeOf(piece);
    }
  }
  return { place: (_, tensor) => places.get(tensor), chunks: () => stream(pieces) };
}
