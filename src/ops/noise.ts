/**
 * What is drawn at random: RandomNormal, RandomUniform, their forms "Like", Bernoulli, Multinomial. Two runs differ.
 */
import { Miss } from "../errors.ts";
import type { Op, Site } from "./define.ts";
import { decimal, elementType, integer, integers } from "./shared/attributes.ts";
import { inert } from "./shared/inert.ts";
import { need } from "./shared/rules.ts";

const drawn = new Miss("draws random numbers");
const random = (): boolean => true;
/** What they are fed says how many numbers are drawn, or how likely they are: no gradient comes back, and what is drawn is used as it is. */
const flat = (): readonly undefined[] => [];

/** Undefined: another one in each run. */
const seedOf = (site: Site): number | undefined =>
  site.attribute("seed") === undefined ? undefined : decimal(site, "seed", 0);

/** The type that is asked for, else that of the input; and the two numbers that describe a distribution: low and high, or mean and deviation. */
const readDistribution = (site: Site, names: readonly string[]) => ({
  type: elementType(site, "dtype", site.inputs[0]?.type ?? "float32") ?? "float32",
  numbers: names.map((name, at) => decimal(site, name, at)),
  seed: seedOf(site),
});

/** Of dimensions that an attribute gives. */
const drawing = (name: string, names: readonly string[]): Op =>
  inert(drawn, {
    name,
    random,
    read: (site) => ({ ...readDistribution(site, names), dims: integers(site, "shape") ?? [] }),
    infer: ({ type, dims }) => [{ type, dims }],
  });

/** As many as the input has elements, whose numbers say nothing; of Bernoulli, how likely a 1 is at the place. */
const drawingLike = (name: string, names: readonly string[]): Op =>
  inert(drawn, {
    name,
    random,
    read: (site) => readDistribution(site, names),
    infer: ({ type }, site) => [{ type, dims: need(site, 0).dims }],
    gradient: flat,
  });

/** Classes drawn by unnormalized log-probabilities, for each row. */
export const Multinomial = inert(drawn, {
  name: "Multinomial",
  random,
  read: (site) => ({
    type: elementType(site, "dtype", "int32") ?? "int32",
    count: integer(site, "sample_size", 1),
    seed: seedOf(site),
  }),
  infer: (s, site) => [{ type: s.type, dims: [need(site, 0).dims?.[0] ?? site.open(0, 0), s.count] }],
});

export const noiseOperators: readonly Op[] = [
  drawing("RandomNormal", ["mean", "scale"]),
  drawing("RandomUniform", ["low", "high"]),
  drawingLike("RandomNormalLike", ["mean", "scale"]),
  drawingLike("RandomUniformLike", ["low", "high"]),
  drawingLike("Bernoulli", []),
];
