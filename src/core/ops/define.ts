/** Turns an operator definition into an `Op`, which applies the facets to a node. */
import { type Dim, type Emit, float32, Miss, type Value } from "#graph";
import type { AxisRule, GradientScope, Homogeneity, OpDef, Site, Traits, ValueInterval, WeightRole } from "./entry.ts";
import { noLowering, noQuantizedKernel, noWeight } from "./shared/misses.ts";

export type * from "./entry.ts";

/** Facets that are also required: a gradient or a lowering; with a weight, parameters, cost and quantization. */
export type Complete<S> = (
  | { readonly lower: Exclude<OpDef<S>["lower"], Miss | undefined> }
  | RequiredFacets<S, "gradient">
) &
  ({ readonly weight?: Miss | undefined } | RequiredFacets<S, "parameters" | "cost" | "quantize">) &
  (null extends S ? unknown : undefined extends S ? unknown : RequiredFacets<S, "read">);
type RequiredFacets<S, K extends keyof OpDef<S>> = { readonly [Key in K]: NonNullable<OpDef<S>[Key]> };

export interface Op extends Traits {
  readonly name: string;
  readonly domain: string;
  /** For each facet true, or the reason why the operator does not have it. */
  readonly facets: Readonly<Record<FacetName, true | Miss>>;
  settings(site: Site): unknown;
  /** Applies the definition to a node; a Miss if the settings cannot be read. */
  at(site: Site): BoundOp | Miss;
}

export type FacetName = "weight" | "axes" | "lower" | "gradient" | "cost" | "quantize";
const facetNames: readonly FacetName[] = ["weight", "axes", "lower", "gradient", "cost", "quantize"];

/** A definition applied to a node: the facets of `OpDef` without the parameters `s` and `site`. */
export type BoundOp = {
  readonly [K in Exclude<
    keyof OpDef<unknown>,
    keyof Traits | CompletedFacet | "name" | "domain" | "read"
  >]-?: BoundFacet<OpDef<unknown>[K]>;
} & {
  parameters(): readonly number[];
  homogeneous(): Homogeneity | undefined;
  weights(): readonly WeightRole[] | Miss;
  axes(): AxisRule | Miss;
  lower(emit: Emit, inputs: readonly (Value | undefined)[]): readonly Value[] | Miss;
  gradient(scope: GradientScope): readonly (Value | undefined)[] | Miss;
  cost(): { readonly macs: Dim } | Miss;
  saturates(): readonly [low: number, high: number] | undefined;
};

/** The facets whose form differs from `OpDef`. */
type CompletedFacet = "saturates" | "parameters" | "homogeneous" | "weight" | "axes" | "lower" | "gradient" | "cost";

type BoundFacet<F, G = Exclude<F, Miss | undefined>> = G extends (s: unknown, ...rest: infer R) => infer T
  ? (...rest: R extends readonly [Site, ...infer More] ? More : R) => T | Extract<F, Miss>
  : never;

const gradientAfterLowering = new Miss("is differentiated as its primitives");

export function defineOp<S = null>(def: OpDef<S> & Complete<S>): Op {
  const { weight = noWeight, axes, lower = noLowering, gradient = gradientAfterLowering, cost = () => 0 } = def;
  const complete = { ...def, weight, axes, lower, gradient, cost, quantize: def.quantize ?? noQuantizedKernel };
  const read = (site: Site): S | Miss => (def.read === undefined ? (null as S) : def.read(site));
  const facets = facetNames.map((name) => [name, complete[name] instanceof Miss ? complete[name] : true]);
  return {
    ...def,
    domain: def.domain ?? "",
    facets: Object.fromEntries(facets) as Op["facets"],
    settings: read,
    at(site) {
      const s = read(site);
      return s instanceof Miss ? s : new AppliedDefinition(complete, s, site);
    },
  };
}

type DefinitionWithDefaults<S> = OpDef<S> & { readonly [K in FacetName]: NonNullable<OpDef<S>[K]> };

/** A class, because closures would be slower to create. */
class AppliedDefinition<S> implements BoundOp {
  readonly #def: DefinitionWithDefaults<S>;
  readonly #s: S;
  readonly #site: Site;

  constructor(def: DefinitionWithDefaults<S>, settings: S, site: Site) {
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

  homogeneous() {
    const { homogeneous } = this.#def;
    return typeof homogeneous === "function"
      ? homogeneous(this.#s, this.#site)
      : homogeneous && { products: homogeneous };
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

  wants(output: readonly ValueInterval[]) {
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
