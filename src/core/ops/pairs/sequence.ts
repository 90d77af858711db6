import { readCut, readPlace, splitPieces, within } from "../shared/sequences.ts";
import type { Pair } from "./pair.ts";

/** A piece of a tensor that was split into a sequence (torch.chunk, torch.split). Each reader gets its own Split; deduplication merges them later. */
export const pieceOfSequence: Pair = {
  what: "a piece of a sequence that was split is an output of Split",
  first: ["SplitToSequence"],
  second: ["SequenceAt"],
  fuse({ first, second, firstSite, secondSite, input, emit }) {
    const [x] = first.inputs;
    const { place } = readPlace(secondSite);
    const cut = readCut(firstSite);
    // Since opset 13 the sizes are an input.
    if (x === undefined || input !== 0 || place === undefined || secondSite.version < 13) return undefined;
    const at = cut.sizes === undefined ? undefined : within(place, cut.sizes.length);
    if (at === undefined || at < 0 || at >= (cut.sizes?.length ?? 0)) return undefined;
    const value = splitPieces(emit.named(second.outputs[0]?.name ?? "piece"), x, cut)?.[at];
    return value === undefined ? undefined : { value };
  },
};
