import { Miss } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { float32 } from "../tensor/dense.ts";
import type { Bound, FacetName, GradientScope, OpDef, Site, WantedInterval } from "./define.ts";

/** An entry with what it left out. */
export type Whole<S> = OpDef<S> & { readonly [K in FacetName]: NonNullable<OpDef<S>[K]> };

/** An entry applied to a node. A class rather than an object of closures: every walk applies it anew, and asks for one or two of its answers. */
export class Applied<S> implements Bound {
  readonly #def: Whole<S>;
  readonly #s: S;
  readonly #site: Site;

  constructor(def: Whole<S>, settings: S, site: Site) {
    this.#def = def;
    this.#s = settings;
    this.#site = site;
  }

  infer() {
    return this.#def.infer(this.#s, this.#site);
  }

  unchanged() {
    return this.#def.unchanged?.(this.#s, this.#site);
  }

  affine() {
    return this.#def.affine?.(this.#s, this.#site) ?? new Miss("does not scale and shift by stored numbers");
  }

  training() {
    return this.#def.training?.(this.#s, this.#site);
  }

  inChannelBlocks(emit: Emit, inputs: readonly (Value | undefined)[], block: number) {
    return this.#def.inChannelBlocks?.(this.#s, emit, inputs, block);
  }

  distribution() {
    return this.#def.distribution?.(this.#s, this.#site);
  }

  saturates() {
    return this.#def.saturates ?? (this.distribution()?.form === "probabilities" ? ([0, 1] as const) : undefined);
  }

  parameters() {
    const { parameters = [] } = this.#def;
    if (typeof parameters === "function") return parameters(this.#s, this.#site);
    return parameters.filter((input) => this.#site.inputs[input]?.stored === true);
  }

  scales() {
    return this.#def.scales?.(this.#s, this.#site) ?? [];
  }

  wants(output: readonly WantedInterval[]) {
    return this.#def.wants?.(this.#s, this.#site, output) ?? [];
  }

  weights() {
    const { weight } = this.#def;
    const roles = weight instanceof Miss ? weight : weight(this.#s, this.#site);
    return roles instanceof Miss ? roles : [roles].flat();
  }

  axes() {
    const { axes } = this.#def;
    if (axes instanceof Miss) return axes;
    const dims = this.#site.inputs[0]?.dims;
    if (dims === undefined) return new Miss("the rank of input 0 is not known");
    const rule = axes(this.#s, this.#site, dims);
    return rule instanceof Miss || "links" in rule ? rule : { links: rule };
  }

  lower(emit: Emit, [x, ...more]: readonly (Value | undefined)[]) {
    const { lower } = this.#def;
    if (lower instanceof Miss) return lower;
    return x === undefined ? new Miss("an operand is missing") : lower(this.#s, emit, [x, ...more]);
  }

  gradient(scope: GradientScope) {
    const { gradient } = this.#def;
    if (gradient instanceof Miss) return gradient;
    const { emit, upstream } = scope;
    const [[x, ...more], [y]] = [scope.inputs, scope.outputs];
    if (x === undefined || y === undefined) return new Miss("its first input or output is missing");
    return gradient(this.#s, {
      ...scope,
      inputs: [x, ...more],
      y,
      get up() {
        return upstream[0] ?? emit.Expand([emit.CastLike([emit.constant(float32([], [0])), y]), emit.Shape([y])]);
      },
    });
  }

  cost() {
    const { cost } = this.#def;
    const macs = cost instanceof Miss ? cost : cost(this.#s, this.#site);
    return macs instanceof Miss ? macs : { macs };
  }

  quantize() {
    const { quantize } = this.#def;
    return quantize instanceof Miss ? quantize : quantize(this.#s, this.#site);
  }
}
