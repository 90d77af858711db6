/**
 * ONNX Runtime's RotaryEmbedding: (a, b) → (a·cos - b·sin, b·cos + a·sin) for the halves of a head, or for neighbors (interleaved), limited to
 * `rotary_embedding_dim` channels. Data: N × length × channels, or N × heads × length × width; positions per token, or only of the first.
 */
import { Miss } from "../../errors.ts";
import type { AxisLink, Site } from "../define.ts";
import { decimal, integer } from "../shared/attributes.ts";
import { fromHeads, rotated, toHeads } from "../shared/heads.ts";
import { positions, sameAsInput, sameAxes } from "../shared/rules.ts";
import { microsoftOp, typed } from "./typed.ts";

interface Settings {
  readonly interleaved: boolean;
  readonly packed: boolean;
  readonly scale: number;
  readonly width: number | undefined;
  readonly turned: number | undefined;
}

function read(site: Site): Settings {
  const x = site.inputs[0]?.dims;
  const half = site.inputs[2]?.dims?.[1];
  const turned = typeof half === "number" ? 2 * half : undefined;
  const [heads, last] = [integer(site, "num_heads", 0), x?.at(-1)];
  const width = x?.length === 4 || typeof last !== "number" ? last : heads > 0 ? last / heads : turned;
  return {
    interleaved: integer(site, "interleaved", 0) !== 0,
    packed: integer(site, "is_packed_batching", 0) !== 0,
    scale: decimal(site, "scale", 1),
    width: typeof width === "number" ? width : undefined,
    turned,
  };
}

export const RotaryEmbedding = microsoftOp<Settings>({
  name: "RotaryEmbedding",
  read,
  infer: (_, site) => sameAsInput(site),
  // A single position is the offset of all samples.
  wants: (_, site) => (site.inputs[1]?.dims?.length === 2 ? positions(1, site.inputs[2]?.dims?.[0]) : []),
  axes: (_, site, x) => {
    const places: AxisLink[] = site.inputs[1]?.dims?.length === 2 ? [{ from: ["in1", 0], to: ["out0", 0] }] : [];
    return [...sameAxes(x, { but: (axis) => axis > 0, why: "channels are rotated in pairs by position" }), ...places];
  },
  lower: (s, emit, [x, places, cosTable, sinTable]) => {
    const rank = x?.type?.dims?.length;
    if (rank === undefined || s.width === undefined || s.turned === undefined)
      return new Miss("the width of a head is not known");
    if (s.packed) return new Miss("its tokens are packed");
    if (s.scale !== 1) return new Miss("scales positions");
    const last = x.type?.dims?.at(-1);
    const heads = rank === 4 || typeof last !== "number" ? undefined : last / s.width;
    const apart = heads === undefined ? x : toHeads(emit, x, heads);
    const tables = { cos: cosTable, sin: sinTable, interleaved: s.interleaved, width: s.width };
    const all = rotated(emit, apart, places, tables);
    if (all instanceof Miss) return all;
    return [heads === undefined ? all : fromHeads(emit, all)];
  },
});

/** q · cos(e) + q' · sin(e), and the same for k: the rotated halves are inputs. */
export const GemmaRotaryEmbedding = typed({
  name: "GemmaRotaryEmbedding",
  infer: (_, site) => [1, 3].flatMap((input) => sameAsInput(site, input)),
  why: "rotates channels in pairs, in half precision on GPU only",
});
