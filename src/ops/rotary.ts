/**
 * RotaryEmbedding of positions: turns pairs of numbers of each head by an angle that grows with the position: (a, b) → (a·cos - b·sin, a·sin + b·cos). A pair are
 * neighbours (`interleaved`) or numbers half a head apart. Cosines and sines: positions × D/2, picked by position, or batch × places × D/2.
 */
import { Miss } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import { type AxisLink, defineOp, type Op } from "./define.ts";
import { integer } from "./shared/attributes.ts";
import { countAttribute, need, positions, range, sameAsInput } from "./shared/rules.ts";

const RotaryEmbedding = defineOp({
  name: "RotaryEmbedding",
  sameType: 0,
  read: (site) => {
    const dims = site.inputs[0]?.dims;
    if (dims === undefined) return new Miss("the rank of its input is not known");
    const flat = dims.length === 3;
    const heads = flat ? integer(site, "num_heads", 0) : dims[1];
    if (typeof heads !== "number" || heads === 0) return new Miss("the number of heads is not known");
    return {
      flat,
      heads,
      interleaved: integer(site, "interleaved", 0) !== 0,
      // How many numbers of a head are turned; 0: all.
      turned: integer(site, "rotary_embedding_dim", 0),
    };
  },
  infer: (_, site) => sameAsInput(site),
  wants: (_, site) => (site.inputs[3] === undefined ? [] : positions(3, site.inputs[1]?.dims?.[0])),
  // Heads go as a whole: the numbers of one are turned in pairs.
  axes: (s, site) => {
    const dims = need(site, 0).dims ?? [];
    const samples: AxisLink[] = [{ from: ["in0", 0], to: ["out0", 0] }];
    if (site.inputs[3] !== undefined) samples.push({ from: ["in0", 0], to: ["in3", 0] });
    else samples.push(...([1, 2] as const).map((input): AxisLink => ({ from: ["in0", 0], to: [`in${input}`, 0] })));
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
    const dims = x.type?.dims;
    const last = dims?.[s.flat ? 2 : 3];
    if (typeof last !== "number") return new Miss("the size of its heads is not known");
    const size = s.flat ? last / s.heads : last;
    const turned = s.turned === 0 ? size : s.turned;
    // batch × heads × places × D
    const open = s.flat ? emit.Transpose([emit.Reshape([x, [0, 0, s.heads, size]])], { perm: [0, 2, 1, 3] }) : x;
    const angles = (cache: Value | undefined): Value => {
      const picked = positions === undefined ? cache : emit.Gather([cache, positions], { axis: 0 });
      return emit.Unsqueeze([picked, [1]]);
    };
    const [cos, sin] = [angles(cosines), angles(sines)];
    const parts = (value: Value, axis: number, sizes: readonly number[]): readonly Value[] =>
      emit.many("Split", [value, sizes], { axis }, sizes.length);
    const [part = open, rest] = turned === size ? [open] : parts(open, 3, [turned, size - turned]);
    // Neighbours: D/2 pairs of two, side by side in an axis of their own.
    const pairs = s.interleaved ? emit.Reshape([part, [0, 0, 0, turned / 2, 2]]) : part;
    const halves = s.interleaved
      ? parts(pairs, 4, [1, 1]).map((half) => emit.Squeeze([half, [4]]))
      : parts(pairs, 3, [turned / 2, turned / 2]);
    const [a, b] = halves;
    const real = emit.Sub([emit.Mul([a, cos]), emit.Mul([b, sin])]);
    const imaginary = emit.Add([emit.Mul([a, sin]), emit.Mul([b, cos])]);
    const side = (value: Value): Value => emit.Unsqueeze([value, [4]]);
    const joined = s.interleaved
      ? emit.Reshape([emit.Concat([side(real), side(imaginary)], { axis: 4 }), [0, 0, 0, turned]])
      : emit.Concat([real, imaginary], { axis: 3 });
    const whole = rest === undefined ? joined : emit.Concat([joined, rest], { axis: 3 });
    if (!s.flat) return [whole];
    const back = emit.Transpose([whole], { perm: [0, 2, 1, 3] });
    return [emit.Reshape([back, [0, 0, last]])];
  },
});

export const rotaryOperators: readonly Op[] = [RotaryEmbedding];
