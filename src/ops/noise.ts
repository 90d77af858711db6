/**
 * What is drawn at random: RandomNormal, RandomUniform, their forms "Like", Bernoulli, Multinomial. Two runs differ.
 */
import { Miss } from "../errors.ts";
import type { DataType } from "../tensor/types.ts";
import type { Op, Site } from "./define.ts";
import { decimal, elementType, integer, integers } from "./shared/attributes.ts";
import { inert } from "./shared/inert.ts";
import { need } from "./shared/rules.ts";

const drawn = new Miss("draws random numbers");
const always = (): boolean => true;
/** What they are fed says how many numbers are drawn, or how likely they are: no gradient comes back, and what is drawn is used as it is. */
const flat = (): readonly undefined[] => [];

interface Distribution {
  /** Undefined: that of the input. */
  readonly type: DataType | undefined;
  /** The two numbers that describe it: low and high, or mean and deviation. */
  readonly numbers: readonly [number, number];
  readonly seed: number | undefined;
}

/** Undefined: another one in each run. */
function seedOf(site: Site): number | undefined {
  return site.attribute("seed") === undefined ? undefined : decimal(site, "seed", 0);
}

function readDistribution(site: Site, names: readonly [string, string], byDefault: DataType | undefined): Distribution {
  const [first, second] = names;
  return {
    type: elementType(site, "dtype", byDefault),
    numbers: [decimal(site, first, 0), decimal(site, second, 1)],
    seed: seedOf(site),
  };
}

/** Of dimensions that an attribute gives. */
function drawing(name: string, names: readonly [string, string]): Op {
  return inert<Distribution & { readonly dims: readonly number[] }>(drawn, {
    name,
    random: always,
    read: (site) => ({ ...readDistribution(site, names, "float32"), dims: integers(site, "shape") ?? [] }),
    infer: (s) => [{ type: s.type ?? "float32", dims: s.dims }],
  });
}

/** As many as the input has elements, whose numbers say nothing. */
function drawingLike(name: string, names: readonly [string, string]): Op {
  return inert<Distribution>(drawn, {
    name,
    random: always,
    read: (site) => readDistribution(site, names, undefined),
    infer: (s, site) => {
      const { type, dims } = need(site, 0);
      return [{ type: s.type ?? type, dims }];
    },
    gradient: flat,
  });
}

/** 1 with the probability that stands at the place, else 0. */
const Bernoulli = inert<{ readonly type: DataType | undefined; readonly seed: number | undefined }>(drawn, {
  name: "Bernoulli",
  random: always,
  read: (site) => ({
    type: elementType(site, "dtype"),
    seed: seedOf(site),
  }),
  infer: (s, site) => {
    const { type, dims } = need(site, 0);
    return [{ type: s.type ?? type, dims }];
  },
  gradient: flat,
});

interface Draws {
  readonly type: DataType;
  readonly count: number;
  readonly seed: number | undefined;
}

/** Classes drawn by unnormalized log-probabilities, for each row. */
const Multinomial = inert<Draws>(drawn, {
  name: "Multinomial",
  random: always,
  read: (site) => ({
    type: elementType(site, "dtype", "int32") ?? "int32",
    count: integer(site, "sample_size", 1),
    seed: seedOf(site),
  }),
  infer: (s, site) => {
    const { dims } = need(site, 0);
    return [{ type: s.type, dims: [dims?.[0] ?? site.open(0, 0), s.count] }];
  },
});

export const noiseOperators: readonly Op[] = [
  drawing("RandomNormal", ["mean", "scale"]),
  drawing("RandomUniform", ["low", "high"]),
  drawingLike("RandomNormalLike", ["mean", "scale"]),
  drawingLike("RandomUniformLike", ["low", "high"]),
  Bernoulli,
  Multinomial,
];
