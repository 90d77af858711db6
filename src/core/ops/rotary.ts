/**
 * RotaryEmbedding: rotates channel pairs by (a, b) → (a·cos - b·sin, a·sin + b·cos). Pairs are neighbors (`interleaved`) or D/2 apart, for D
 * channels of a head. Cosines and sines are tables of positions × D/2, indexed by the position input, or batch × length × D/2 without it. In
 * com.microsoft's operator, the position input lists one position per token, or only the first.
 */
import { Miss, type Value } from "#graph";
import { type AxisLink, defineOp } from "./define.ts";
import { readFlag, readFloat, readInteger } from "./shared/attributes.ts";
import { sameAxes } from "./shared/axis-links.ts";
import { mergeHeads, rotateHeads, rotatePairs, splitHeads } from "./shared/heads.ts";
import { defineMicrosoftOp } from "./shared/inert.ts";
import { noRank } from "./shared/misses.ts";
import { countAttribute, range, requireInput, requirePositions, sameAsInput } from "./shared/shapes.ts";

export const RotaryEmbedding = defineOp({
  name: "RotaryEmbedding",
  sameType: 0,
  read: (site) => {
    const dims = site.inputs[0]?.dims;
    if (dims === undefined) return noRank;
    const hasMergedHeads = dims.length === 3;
    const heads = hasMergedHeads ? readInteger(site, "num_heads", 0) : dims[1];
    if (typeof heads !== "number" || heads === 0) return new Miss("the number of heads is not known");
    return {
      flat: hasMergedHeads,
      heads,
      isInterleaved: readFlag(site, "interleaved"),
      rotated: readInteger(site, "rotary_embedding_dim", 0),
    };
  },
  infer: (_, site) => sameAsInput(site),
  wants: (_, site) => (site.inputs[3] === undefined ? [] : requirePositions(3, site.inputs[1]?.dims?.[0])),
  // The channels of a head are rotated in pairs.
  axes: (s, site) => {
    const dims = requireInput(site, 0).dims ?? [];
    const ports = ["out0", ...(site.inputs[3] === undefined ? (["in1", "in2"] as const) : ["in3" as const])] as const;
    const samples = ports.map((port): AxisLink => ({ from: ["in0", 0], to: [port, 0] }));
    const positionRefusal: AxisLink = { refuses: ["in0", s.flat ? 1 : 2], reason: "each position has its own angle" };
    if (!s.flat) return { links: [...samples, { from: ["in0", 1], to: ["out0", 1] }, positionRefusal] };
    const width = dims[2];
    if (typeof width !== "number") return new Miss("the size of its heads is not known");
    const headWidth = width / s.heads;
    const channelsOfHead = (index: number): number[] => range(headWidth, Math.floor(index / headWidth) * headWidth);
    return {
      links: [
        ...samples,
        positionRefusal,
        { from: ["in0", 2], to: ["in0", 2], map: channelsOfHead },
        { from: ["in0", 2], to: ["out0", 2] },
      ],
      resize: (removal) => {
        const channels = removal.dims("in0")[2];
        return countAttribute("num_heads", typeof channels === "number" ? channels / headWidth : undefined);
      },
    };
  },
  lower: (s, emit, [x, cosines, sines, positions]) => {
    const channelCount = x.type?.dims?.[s.flat ? 2 : 3];
    if (typeof channelCount !== "number") return new Miss("the size of its heads is not known");
    const width = s.flat ? channelCount / s.heads : channelCount;
    const gatherAngles = (cache: Value | undefined): Value =>
      emit.Unsqueeze([positions === undefined ? cache : emit.Gather([cache, positions], { axis: 0 }), [1]]);
    const tables = { cos: gatherAngles(cosines), sin: gatherAngles(sines), isInterleaved: s.isInterleaved };
    const heads = s.flat ? splitHeads(emit, x, s.heads) : x;
    const y = rotatePairs(emit, heads, { ...tables, count: s.rotated === 0 ? width : s.rotated, width });
    return [s.flat ? mergeHeads(emit, y) : y];
  },
});

const microsoftRotary = defineMicrosoftOp({
  name: "RotaryEmbedding",
  read: (site) => {
    const [dims, pairCount] = [site.inputs[0]?.dims, site.inputs[2]?.dims?.[1]];
    const [heads, channelCount] = [readInteger(site, "num_heads", 0), dims?.at(-1)];
    const rotatedWidth = typeof pairCount === "number" ? 2 * pairCount : undefined;
    const width =
      dims?.length === 4 || typeof channelCount !== "number"
        ? channelCount
        : heads > 0
          ? channelCount / heads
          : rotatedWidth;
    return {
      isInterleaved: readFlag(site, "interleaved"),
      packed: readFlag(site, "is_packed_batching"),
      scale: readFloat(site, "scale", 1),
      width: typeof width === "number" && rotatedWidth !== undefined ? width : undefined,
    };
  },
  infer: (_, site) => sameAsInput(site),
  // A single position is the first position of all samples.
  wants: (_, site) => (site.inputs[1]?.dims?.length === 2 ? requirePositions(1, site.inputs[2]?.dims?.[0]) : []),
  axes: (_, site, dims) => {
    const perToken: AxisLink[] = site.inputs[1]?.dims?.length === 2 ? [{ from: ["in1", 0], to: ["out0", 0] }] : [];
    const reason = "channels are rotated in pairs by position";
    return [...sameAxes(dims, { refused: (axis) => axis > 0, reason }), ...perToken];
  },
  lower: (s, emit, [x, positions, cos, sin]) => {
    const dims = x?.type?.dims;
    if (dims === undefined || s.width === undefined) return new Miss("the width of a head is not known");
    if (s.packed) return new Miss("its tokens are packed");
    if (s.scale !== 1) return new Miss("scales positions");
    const channelCount = dims.at(-1);
    const count = dims.length === 4 || typeof channelCount !== "number" ? undefined : channelCount / s.width;
    const heads = count === undefined ? x : splitHeads(emit, x, count);
    const y = rotateHeads(emit, heads, positions, { cos, sin, isInterleaved: s.isInterleaved, width: s.width });
    if (y instanceof Miss) return y;
    return [count === undefined ? y : mergeHeads(emit, y)];
  },
});

export const rotaryOperators = [microsoftRotary];
