/**
 * RotaryEmbedding: rotates channel pairs by (a, b) → (a·cos - b·sin, a·sin + b·cos). Pairs are neighbors (`interleaved`) or half a head apart.
 * Cosines and sines: positions × D/2, selected by position, or batch × length × D/2.
 */
import { Miss } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import { type AxisLink, defineOp } from "./define.ts";
import { integer } from "./shared/attributes.ts";
import { fromHeads, toHeads, turned } from "./shared/heads.ts";
import { noRank } from "./shared/misses.ts";
import { countAttribute, need, positions, range, sameAsInput } from "./shared/rules.ts";

export const RotaryEmbedding = defineOp({
  name: "RotaryEmbedding",
  sameType: 0,
  read: (site) => {
    const dims = site.inputs[0]?.dims;
    if (dims === undefined) return noRank;
    const flat = dims.length === 3;
    const heads = flat ? integer(site, "num_heads", 0) : dims[1];
    if (typeof heads !== "number" || heads === 0) return new Miss("the number of heads is not known");
    return {
      flat,
      heads,
      interleaved: integer(site, "interleaved", 0) !== 0,
      // The number of rotated channels per head; 0: all.
      turned: integer(site, "rotary_embedding_dim", 0),
    };
  },
  infer: (_, site) => sameAsInput(site),
  wants: (_, site) => (site.inputs[3] === undefined ? [] : positions(3, site.inputs[1]?.dims?.[0])),
  // Heads are cut as a whole, because their channels are rotated in pairs.
  axes: (s, site) => {
    const dims = need(site, 0).dims ?? [];
    const ports = ["out0", ...(site.inputs[3] === undefined ? (["in1", "in2"] as const) : ["in3" as const])] as const;
    const samples = ports.map((port): AxisLink => ({ from: ["in0", 0], to: [port, 0] }));
    const refused: AxisLink = { refuses: ["in0", s.flat ? 1 : 2], reason: "each position has its own angle" };
    if (!s.flat) return { links: [...samples, { from: ["in0", 1], to: ["out0", 1] }, refused] };
    const width = dims[2];
    if (typeof width !== "number") return new Miss("the size of its heads is not known");
    const size = width / s.heads;
    const head = (index: number): number[] => range(size, Math.floor(index / size) * size);
    return {
      links: [
        ...samples,
        refused,
        { from: ["in0", 2], to: ["in0", 2], map: head },
        { from: ["in0", 2], to: ["out0", 2] },
      ],
      resize: (cut) => {
        const left = cut.dims("in0")[2];
        return countAttribute("num_heads", typeof left === "number" ? left / size : undefined);
      },
    };
  },
  lower: (s, emit, [x, cosines, sines, positions]) => {
    const last = x.type?.dims?.[s.flat ? 2 : 3];
    if (typeof last !== "number") return new Miss("the size of its heads is not known");
    const width = s.flat ? last / s.heads : last;
    const angles = (cache: Value | undefined): Value =>
      emit.Unsqueeze([positions === undefined ? cache : emit.Gather([cache, positions], { axis: 0 }), [1]]);
    const tables = { cos: angles(cosines), sin: angles(sines), interleaved: s.interleaved };
    const heads = s.flat ? toHeads(emit, x, s.heads) : x;
    const y = turned(emit, heads, { ...tables, count: s.turned === 0 ? width : s.turned, width });
    return [s.flat ? fromHeads(emit, y) : y];
  },
});
