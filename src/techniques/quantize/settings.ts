/** Parses the flat options of `quantize` into the settings of each step. */
import { optionError, type PithError } from "#ir";
import type { OptionValues } from "#pass";
import { quirks } from "../../core/quirks.ts";
import { type DtypeStep, dtypeNames, stepsOfDtype } from "./dtypes.ts";
import type { FlatOptions } from "./options.ts";
import { gptaq } from "./rounders/gptaq.ts";
import { rounders } from "./rounders/index.ts";
import { nearest } from "./rounders/nearest.ts";
import { defaultDistortion, rdoq } from "./rounders/rdoq.ts";
import { bfloat16Lacks, missingSupportOf } from "./runtimes.ts";

export type ActivationType = FlatOptions["activations"];
export const isWide = (type: ActivationType): boolean => type.endsWith("16");

type StoredWeightType = NonNullable<FlatOptions["weights"]>;
type IntegerWeightType = Extract<StoredWeightType, "int8" | "uint8">;

/** `unfit`: names of layers that stay in float because their weights cannot be rounded. */
type Shared = Pick<FlatOptions, "layers" | "except" | "target" | "data" | "samples"> & {
  readonly unfit?: ReadonlySet<string>;
};

type Rounded = Shared &
  Pick<FlatOptions, "perChannel" | "zeroPoints" | "overrides" | "equalize" | "biasCorrection"> & {
    readonly bits: NonNullable<FlatOptions["bits"]>;
    readonly rounder: NonNullable<FlatOptions["rounder"]>;
    /** Low-entropy values: the error of the outputs that rounding adds, relative to their power. */
    readonly distortion?: number;
  };

export type WeightsSettings = Rounded &
  Pick<FlatOptions, "weights" | "block" | "onnxOnly"> &
  Pick<DtypeStep, "everywhere"> & {
    readonly scheme: "weights";
    /** Stores scales of blocks in float16, in products of the main graph. */
    readonly halfScales?: boolean;
  };
export type DynamicSettings = Rounded & {
  readonly scheme: "dynamic";
  readonly weights?: IntegerWeightType | undefined;
};
export type StaticSettings = Rounded &
  Pick<FlatOptions, "activations" | "ranges"> & {
    readonly scheme: "static";
    readonly weights?: IntegerWeightType | undefined;
  };
export type RoundedSettings = WeightsSettings | DynamicSettings | StaticSettings;
export type HalfSettings = Shared & Pick<DtypeStep, "arithmetic"> & { readonly scheme: "float16" | "bfloat16" };
export type QuantizeSettings = RoundedSettings | HalfSettings;

export const isHalf = (settings: QuantizeSettings): settings is HalfSettings =>
  settings.scheme === "float16" || settings.scheme === "bfloat16";

type Scheme = QuantizeSettings["scheme"];

const roundedSchemes = ["weights", "dynamic", "static"] as const;

/** Maps an option to the schemes that have it. Options that are not listed apply to all schemes. */
const schemesByOption: Readonly<Partial<Record<string, readonly Scheme[]>>> = {
  bits: roundedSchemes,
  weights: roundedSchemes,
  perChannel: roundedSchemes,
  zeroPoints: roundedSchemes,
  rounder: roundedSchemes,
  overrides: roundedSchemes,
  distortion: roundedSchemes,
  block: ["weights"],
  onnxOnly: ["weights"],
  activations: ["static"],
  ranges: ["static"],
};

export const hasOption = (scheme: Scheme, option: string): boolean =>
  schemesByOption[option]?.includes(scheme) !== false;

/** Values that change nothing, so that every scheme accepts them. */
const neutral: OptionValues = {
  perChannel: true,
  zeroPoints: false,
  onnxOnly: false,
  activations: "uint8",
  ranges: "min-max",
  rounder: nearest.id,
};

const integerBits: Readonly<Record<RoundedSettings["scheme"], readonly number[]>> = {
  weights: [8, 6, 5, 4, 3, 2],
  static: [8, 7, 4],
  dynamic: [8, 7],
};

/** @param at the option, whose name callers add to the sentence. */
const rejection = (at: string, sentence: string, hint?: string): PithError => optionError(`${sentence}.`, { at, hint });

/** Returns the settings of each step of a scheme or dtype. @throws PithError E_OPTION for options that contradict each other. */
export function settingsOfSteps({ scheme, dtype, ...options }: FlatOptions): readonly QuantizeSettings[] {
  if (dtype === undefined) return scheme === undefined ? [] : [settingsOfStep(options, { scheme })];
  const [first, ...later] = stepsOfDtype(dtype, options.target);
  const isHalf = first.scheme === "float16";
  for (const key of ["bits", "block", "weights"] as const) {
    const dtypeValue = first[key] ?? (key === "bits" && !isHalf ? defaultBits(first) : undefined);
    if (options[key] === undefined || options[key] === dtypeValue) continue;
    const sentence = `\`${key}\` is ${dtypeValue ?? "not free"} in the dtype "${dtype}", got ${options[key]}`;
    throw optionError(`${sentence}.`, { hint: "Use `scheme` instead of `dtype` to choose it." });
  }
  // Options of the integers do not apply to a later float16 step.
  const shared = sharedSettings(options);
  return [settingsOfStep(options, first), ...later.map(({ arithmetic }) => ({ ...shared, ...float16, arithmetic }))];
}

const float16 = { scheme: "float16" } as const;

type Choices = Omit<FlatOptions, "scheme" | "dtype">;

const sharedSettings = ({ layers, except, target, data, samples }: Choices): Shared => ({
  layers,
  except,
  target,
  data,
  samples,
});

function settingsOfStep(
  choices: Choices,
  step: Omit<DtypeStep, "scheme"> & { readonly scheme: Scheme },
): QuantizeSettings {
  const { scheme, arithmetic, everywhere } = step;
  requireOptionsOf(scheme, choices);
  for (const [pattern, override] of Object.entries(choices.overrides ?? {}))
    requireOptionsOf(scheme, override, pattern);
  if (scheme === "bfloat16") requireBfloat16(choices);
  const commonSettings = sharedSettings(choices);
  if (scheme === "float16" || scheme === "bfloat16") return { ...commonSettings, scheme, arithmetic };
  const options = { ...choices, ...step };
  const { perChannel, zeroPoints, overrides, equalize, weights, block, onnxOnly } = options;
  const { rounder = choices.data !== undefined && reconstructsOutputs(options) ? gptaq.id : nearest.id } = choices;
  const bits = options.bits ?? defaultBits(options);
  const { biasCorrection = scheme === "weights" && rounder === gptaq.id && bits > 2 ? "none" : "full" } = choices;
  const roundedSettings = {
    ...commonSettings,
    perChannel,
    zeroPoints,
    overrides,
    equalize,
    biasCorrection,
    bits,
    rounder,
    ...distortionOf({ ...options, rounder }),
  };
  const layers = everySetting({ scheme, rounder, bits, block, weights, onnxOnly, zeroPoints, overrides });
  for (const { weights: weightType } of layers)
    if (scheme !== "weights" && !areIntegers({ weights: weightType }))
      throw rejection(
        "weights",
        `${weightType} is not available in the scheme "${scheme}"`,
        'The scheme "weights" stores it.',
      );
  requireRounder(layers);
  for (const layer of layers) requireWidth(layer);
  if (scheme === "weights") return { ...roundedSettings, scheme, weights, block, onnxOnly, everywhere };
  const integers = { ...roundedSettings, weights: weights === "uint8" || weights === "int8" ? weights : undefined };
  if (scheme === "dynamic") return { ...integers, scheme };
  const { activations, ranges } = options;
  if (activations === "int8" && layers.some((layer) => layer.weights === "uint8"))
    throw rejection(
      "weights",
      "int8 activations need int8 weights, got uint8",
      "ONNX Runtime's kernels multiply int8 activations by int8 weights only, and uint8 activations by either.",
    );
  return { ...integers, scheme, activations, ranges };
}

/** @param pattern the layers of an override, if the options belong to one. */
function requireOptionsOf(scheme: Scheme, options: OptionValues, pattern?: string): void {
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined || value === neutral[key] || hasOption(scheme, key)) continue;
    const isRounder = key === "rounder";
    if (isRounder && rounders.known(value) === nearest) continue;
    const sentence = isRounder ? `${scheme} always rounds to nearest` : `the scheme "${scheme}" has no such option`;
    const hint = `Schemes that have it: ${(schemesByOption[key] ?? []).map((name) => `"${name}"`).join(", ")}.`;
    throw pattern === undefined
      ? rejection(key, sentence, hint)
      : rejection("overrides", `${pattern}: \`${key}\`: ${sentence}`, hint);
  }
}

function requireBfloat16(options: Choices): void {
  const lack = missingSupportOf(bfloat16Lacks, options);
  if (lack === undefined) return;
  throw rejection(
    "scheme",
    `bfloat16 is ${lack.reason}`,
    'Schemes for every `target` are "weights", "dynamic", "static" and "float16"; GPUs compute in float: "weights", or `dtype: "fp16"`.',
  );
}

type WeightChoice = Pick<FlatOptions, "block" | "weights" | "onnxOnly" | "zeroPoints"> &
  Pick<Rounded, "bits" | "rounder"> & { readonly scheme: RoundedSettings["scheme"] };

type Rule = readonly [option: string, isBroken: boolean, sentence: string, hint: string];

function requireRules(rules: readonly Rule[]): void {
  for (const [option, isBroken, sentence, hint] of rules) if (isBroken) throw rejection(option, sentence, hint);
}

function requireRounder(layers: readonly WeightChoice[]): void {
  const [{ rounder: choice, weights } = { rounder: nearest.id, weights: undefined }] = layers;
  const rounder = rounders.known(choice);
  requireRules([
    [
      "rounder",
      rounder !== undefined && rounder !== nearest && layers.every((layer) => !areIntegers(layer)),
      `the values of ${weights} are given, got "${rounder?.id}"`,
      "Weights are rounded to the nearest of these values.",
    ],
    [
      "rounder",
      isLowEntropy({ rounder: choice }) && !layers.every((layer) => admitsLowEntropy({ ...layer })),
      "rdoq chooses the steps of 8-bit integers: `bits` below 8, `block`, `zeroPoints` and other `weights` do not apply",
      "`distortion` sets how many bits a weight has after compression.",
    ],
  ]);
}

function requireWidth(layer: WeightChoice): void {
  const { scheme, bits, block, onnxOnly } = layer;
  const widths = integerBits[scheme];
  const isInteger = areIntegers(layer);
  requireRules([
    [
      "bits",
      isInteger && !widths.includes(bits),
      `the scheme "${scheme}" takes ${widths.slice(0, -1).join(", ")} or ${widths.at(-1)}, got ${bits}`,
      scheme === "weights"
        ? '`weights: "palette"` takes 1 to 8.'
        : 'The scheme "weights" supports fewer bits; it computes in float.',
    ],
    [
      "block",
      isInteger && block !== undefined && ![8, 4, 2].includes(bits),
      `blocks support 8, 4 or 2 bits, got ${bits}`,
      "Without it, each output channel has a scale.",
    ],
    [
      "onnxOnly",
      isInteger && bits === 2 && onnxOnly,
      "blocks have 4 or 8 bits in operators of ONNX, got 2",
      `ONNX Runtime ${quirks["two-bit-products"]}. \`MatMulNBits\`, which Pith writes without \`onnxOnly\`, is right.`,
    ],
  ]);
}

function distortionOf({ rounder, distortion }: Choices): { readonly distortion?: number } {
  if (isLowEntropy({ rounder })) return { distortion: distortion ?? defaultDistortion };
  if (distortion === undefined) return {};
  const sentence = `belongs to the rounding method "rdoq", got "${rounders.known(rounder)?.id ?? rounder}"`;
  throw rejection("distortion", sentence, 'Pass `rounder: "rdoq"`.');
}

/** Default bits of a weight: 7 for int8 products, so that 16-bit sums do not overflow. */
export const defaultBits = ({
  scheme,
  weights,
}: {
  readonly scheme: Scheme;
  readonly weights?: StoredWeightType | undefined;
}): 7 | 8 => ((scheme === "dynamic" || scheme === "static") && weights !== "uint8" ? 7 : 8);

/** Returns whether the options request integers, which is the default. */
export const areIntegers = ({ weights }: { readonly weights?: unknown }): boolean =>
  weights === undefined || weights === "int8" || weights === "uint8";

export const everySetting = <O extends { readonly overrides?: unknown }>(options: O): readonly O[] => [
  options,
  ...Object.values(Object(options.overrides)).map((override) => ({ ...options, ...Object(override) })),
];

/** Returns the options with the settings of the first step of a dtype. */
export function withDtype({ dtype, ...options }: OptionValues): OptionValues {
  const name = dtypeNames.find((dtypeName) => dtypeName === dtype);
  return name === undefined ? options : { ...options, ...stepsOfDtype(name, options.target)[0] };
}

export const isLowEntropy = ({ rounder }: OptionValues): boolean => rounder === rdoq.id || rounder === rdoq;

/** Returns whether the values of all layers can be low-entropy. */
export const admitsLowEntropy = (options: OptionValues): boolean =>
  everySetting(withDtype(options)).every(
    ({ scheme, bits = 8, block, weights, zeroPoints }) =>
      scheme !== "float16" &&
      scheme !== "bfloat16" &&
      areIntegers({ weights }) &&
      // 7-bit integers use the storage of 8 bits.
      Number(bits) >= 7 &&
      block === undefined &&
      zeroPoints !== true,
  );

/** Returns whether the default rounding method reconstructs layer outputs. */
export const reconstructsOutputs = (options: OptionValues): boolean =>
  options.rounder === undefined &&
  everySetting(withDtype(options)).some(
    ({ scheme, bits, weights }) =>
      scheme === "weights" && typeof bits === "number" && bits < 8 && areIntegers({ weights }),
  );
