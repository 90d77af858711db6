/** Pairs that make a sequence and take it apart (torch.chunk, torch.split, joined lists). */
import { integer } from "../shared/attributes.ts";
import { itemsOf, readCut, readPlace, splitPieces, within } from "../shared/sequences.ts";
import type { Pair } from "./pair.ts";

/** Each reader gets its own Split; deduplication merges them later. */
const piece: Pair = {
  what: "a piece of a sequence that was split is an output of Split",
  first: ["SplitToSequence"],
  second: ["SequenceAt"],
  fuse({ first, second, firstSite, secondSite, input, emit }) {
    const [x] = first.inputs;
    const { place } = readPlace(1)(secondSite);
    const cut = readCut(firstSite);
    // Since opset 13 the sizes are an input.
    if (x === undefined || input !== 0 || typeof place !== "number" || secondSite.version < 13) return undefined;
    const at = cut.sizes === undefined ? undefined : within(place, cut.sizes.length);
    if (at === undefined || at < 0 || at >= (cut.sizes?.length ?? 0)) return undefined;
    const value = splitPieces(emit.named(second.outputs[0]?.name ?? "piece"), x, cut)?.[at];
    return value === undefined ? undefined : { value };
  },
};

const element: Pair = {
  what: "an element of a sequence is the tensor that was put there",
  first: ["SequenceConstruct"],
  second: ["SequenceAt"],
  fuse({ first, secondSite, input }) {
    const { place } = readPlace(1)(secondSite);
    const items = itemsOf(first.outputs[0]);
    const value = items === undefined || typeof place !== "number" ? undefined : items[within(place, items.length)];
    return input !== 0 || value === undefined ? undefined : { value };
  },
};

const joined: Pair = {
  what: "a sequence that is joined is a Concat",
  first: ["SequenceConstruct"],
  second: ["ConcatFromSequence"],
  fuse({ first, second, secondSite, emit }) {
    const items = itemsOf(first.outputs[0]);
    if (items === undefined || secondSite.version < 13) return undefined;
    const axis = integer(secondSite, "axis", 0);
    const raised =
      integer(secondSite, "new_axis", 0) === 0 ? items : items.map((item) => emit.Unsqueeze([item, [axis]]));
    return { value: emit.named(second.outputs[0]?.name ?? "joined").Concat(raised, { axis }) };
  },
};

export const sequencePairs: readonly Pair[] = [piece, element, joined];
