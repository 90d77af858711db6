import { Miss } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import type { Bound, FacetName, GradientScope, OpDef, Site, WantedInterval, WeightRole } from "./define.ts";

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
    return this.#def.parameters?.(this.#s, this.#site) ?? [];
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
    return roles instanceof Miss || isList(roles) ? roles : [roles];
  }

  axes() {
    const { axes } = this.#def;
    return axes instanceof Miss ? axes : axes(this.#s, this.#site);
  }

  lower(emit: Emit, inputs: readonly (Value | undefined)[]) {
    const { lower } = this.#def;
    return lower instanceof Miss ? lower : lower(this.#s, emit, inputs);
  }

  gradient(scope: GradientScope) {
    const { gradient } = this.#def;
    return gradient instanceof Miss ? gradient : gradient(this.#s, scope);
  }

  cost() {
    const { cost } = this.#def;
    return cost instanceof Miss ? cost : cost(this.#s, this.#site);
  }

  quantize() {
    const { quantize } = this.#def;
    return quantize instanceof Miss ? quantize : quantize(this.#s, this.#site);
  }
}

/** `Array.isArray` does not narrow readonly arrays. */
function isList(roles: WeightRole | readonly WeightRole[]): roles is readonly WeightRole[] {
  return Array.isArray(roles);
}
