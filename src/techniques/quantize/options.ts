import * as v from "valibot";
import { PithError } from "../../core/errors.ts";
import {
  countOption,
  described,
  type LayerSelection,
  option,
  overridesOption,
  selectionOptions,
  understood,
} from "../../core/pass/options.ts";
import type { OptionValues } from "../../core/pass/pass.ts";
import { datasetOption } from "../../data/batches/option.ts";
import { augmentationOption, parseAugmentation } from "../../data/images/augment-options.ts";
import { type DtypeName, type DtypeStep, dtypeNames, dtypes } from "./dtypes.ts";
import { gptaq } from "./rounders/gptaq.ts";
import { rounders } from "./rounders/index.ts";
import { nearest } from "./rounders/nearest.ts";
import { defaultDistortion, rdoq } from "./rounders/rdoq.ts";
import { bfloat16, lackOf, targetOption } from "./runtimes.ts";

export const rangeMethods = ["min-max", "percentile", "mse", "entropy"] as const;
/** How activation ranges are derived from samples. */
export type RangeMethod = (typeof rangeMethods)[number];

export type ActivationType = "uint8" | "int8" | "uint16" | "int16";

export const isWide = (type: ActivationType): boolean => type.endsWith("16");

const bits = v.picklist([1, 2, 3, 4, 5, 6, 7, 8], "takes a whole number from 1 to 8");
const weightCodes = ["int8", "uint8", "nf4", "palette"] as const;
const weights = v.pipe(
  v.picklist(weightCodes),
  v.metadata({
    instead: {
      float8: "It was removed: int8, the default, is as small, and integers run on every runtime.",
      fp4: "It was removed: nf4 has the same size and loses less.",
    },
  }),
);
export type WeightCodes = (typeof weightCodes)[number];
const block = v.picklist([16, 32, 64, 128, 256], "takes 16, 32, 64, 128 or 256, for which ONNX Runtime has kernels");

const activationTypes = v.picklist(["uint8", "int8", "uint16", "int16"]);

const integers =
  "8 bits: --scheme static with --data, --scheme dynamic without; --scheme weights stores weights alone.";
const fourBits = "4 bits: --scheme weights --bits 4; for transformers.js --dtype q4.";
const halves = "16 bits: --scheme float16, or bfloat16.";

/** Help headings of the flags. */
const formats = "Formats:";
const lowEntropy = "Rounding method rdoq (docs/download.md):";
const accuracy = "Ranges and corrections:";

const entries = v.strictObject({
  /** "weights": float arithmetic. "dynamic", "static": integer arithmetic, with ranges found at run time or measured on `data`. */
  scheme: option(
    v.picklist(
      ["weights", "dynamic", "static", "float16", "bfloat16"],
      'expected "weights", "dynamic", "static", "float16" or "bfloat16"',
    ),
    "what to store and compute in fewer bits",
    {
      common: true,
      meanings: {
        title: "Schemes (--scheme)",
        rows: [
          ["weights", "8-bit weights, arithmetic in float"],
          ["dynamic", "8-bit weights and activations, integer arithmetic, ranges computed at run time"],
          ["static", "8-bit weights and activations, integer arithmetic, ranges measured on data"],
          ["float16", "all weights in half precision, arithmetic in float (in float16: --dtype fp16)"],
          ["bfloat16", "all weights as bfloat16: half the size of float32, same range"],
        ],
      },
      instead: {
        ...{ int8: integers, uint8: integers, q8: integers },
        ...{ int4: fourBits, uint4: fourBits, q4: fourBits },
        ...{ fp16: halves, half: halves },
      },
    },
  ),
  /** Variant of transformers.js by name, instead of a scheme. */
  dtype: option(v.picklist(dtypeNames), "transformers.js variant, instead of a scheme", {
    meanings: {
      title: "Variants (--dtype)",
      rows: dtypeNames.map((name) => [name, `${dtypes[name].meaning} (model${dtypes[name].suffix}.onnx)`]),
    },
  }),
  /**
   * Bits of a weight (8). With 4 and 2, products and tables use blocks (tables at least 4 bits); other layers, and 3, 5 and 6
   * bits, use one scale per output. int8 weights of integer products have 7: with 8, sums overflow on x86 processors without
   * VNNI.
   */
  bits: option(bits, "bits per weight, 8 to 2 (integer arithmetic: 8, 7 or 4; palettes: any)", {
    value: "n",
    common: true,
    instead: Object.fromEntries(Array.from({ length: 24 }, (_, at) => [String(9 + at), halves])),
  }),
  /** Weights per row that share a scale: 16, 32, 64, 128 or 256 (32 below 8 bits; else one scale per output channel). */
  block: option(block, "weights of a row that share a scale (default below 8 bits: 32)", {
    value: "n",
    group: formats,
  }),
  /** Standard ONNX operators only (false): blocks use DequantizeLinear, also for convolutions with 4 or 8 bits. */
  onnxOnly: described(v.optional(v.boolean(), false), "standard ONNX operators only, also for blocks of convolutions", {
    group: formats,
  }),
  /** Store a zero point per block (false). Rounding methods that compute zero points always store them. */
  zeroPoints: described(v.optional(v.boolean(), false), "store a zero point per block (k-quant always does)", {
    group: formats,
  }),
  /** Rounding method: a name, a custom method, or the path of a module. Default: "gptaq" below 8 bits with `data`, else "nearest". */
  rounder: option(rounders.schema, "rounding method, or a module (default: nearest; low-bit with --data: gptaq)", {
    value: "rounder",
    common: true,
    meanings: rounders.meanings,
  }),
  /** Rounding method "rdoq": error of the outputs that rounding weights may add, relative to their power (0.0025). */
  distortion: option(
    v.pipe(v.number(), v.gtValue(0)),
    `rdoq: error of the outputs, relative to their power (default: ${defaultDistortion})`,
    { value: "share", group: lowEntropy },
  ),
  /** Rounding method "rdoq": epochs of training of the quantized values towards the original's outputs, which needs no labels (none). */
  epochs: option(countOption, "rdoq: train the quantized values on the original's outputs, for smaller files", {
    value: "n",
    group: lowEntropy,
  }),
  /** Augmentation of the images that the values are trained on, as of `train`: "crop=4 flip" (none). */
  augment: option(
    v.pipe(augmentationOption, understood(parseAugmentation)),
    'rdoq: augment the images of the training, such as "crop=4 flip"',
    { group: lowEntropy },
  ),
  /** Rounding method "rdoq": folder with checkpoints of the training, in a subfolder named by the distortion (none). */
  checkpoint: option(v.string(), "rdoq: folder for checkpoints of the training", {
    value: "folder",
    group: lowEntropy,
  }),
  /** Rounding method "rdoq": continue the training with its checkpoint (false). */
  resume: described(v.optional(v.boolean(), false), "rdoq: continue the training with the checkpoint in this folder", {
    group: lowEntropy,
  }),
  /** One scale per output channel, instead of one per weight (true). */
  perChannel: described(v.optional(v.boolean(), true), "one scale per output channel, instead of one per weight", {
    negated: "per-tensor weight scales, instead of one scale per output channel",
    group: formats,
  }),
  ...selectionOptions("quantize"),
  /** Options of single layers: { "layer4*": { perChannel: false }, head: { float: true } }. */
  overrides: overridesOption({
    bits: v.optional(bits),
    block: v.optional(block),
    onnxOnly: v.optional(v.boolean()),
    zeroPoints: v.optional(v.boolean()),
    perChannel: v.optional(v.boolean()),
    weights: v.optional(weights),
    activations: v.optional(activationTypes),
    float: v.optional(v.boolean()),
  }),
  /** Type of quantized weights (int8; dynamic: the faster type). Scheme "weights" adds "nf4" and "palette". */
  weights: option(weights, "type of quantized weights (default: int8; dynamic: the faster type)", {
    group: formats,
    meanings: {
      title: "Codes (--weights)",
      rows: [
        ["int8, uint8", "integers"],
        ["nf4", "4-bit floats as in bitsandbytes (matrix products only)"],
        ["palette", "a codebook per weight with 2 to the power of --bits values"],
      ],
    },
  }),
  /** Type of activations ("uint8"). With 16 bits, ONNX Runtime's CPU provider computes in float. */
  activations: described(v.optional(activationTypes, "uint8"), "type of activations", { group: formats }),
  /** Static: how ranges are chosen. "min-max" covers all values; the others clip rare ones. */
  ranges: described(v.optional(v.picklist(rangeMethods), "min-max"), "static: ranges of activations", {
    group: accuracy,
    meanings: {
      title: "Ranges (--ranges)",
      rows: [
        ["min-max", "all numbers"],
        ["percentile", "clip one value in 100,000: try it first if min-max loses too much"],
        ["mse", "least squared error"],
        ["entropy", "least Kullback-Leibler divergence"],
      ],
    },
    instead: { average: "It was removed: percentile also clips rare values." },
  }),
  /** Migrate outliers between layers before quantizing (true), with `data`, or without for one scale per weight. */
  equalize: described(
    v.optional(v.boolean(), true),
    "migrate outliers between layers before quantizing, if it lowers the output error",
    {
      negated: "skip equalization, rotation and bias absorption (docs/quantization.md)",
      group: accuracy,
    },
  ),
  /** Correct biases layer by layer for the mean quantization error if that helps held-out samples: "full" (default) or "none". */
  biasCorrection: described(
    v.optional(v.picklist(["full", "none"]), "full"),
    "with data: correct biases for the mean quantization error",
    {
      value: "how",
      group: accuracy,
      meanings: {
        title: "Bias correction (--bias-correction)",
        rows: [
          ["full", "layer by layer, on activations of the already corrected model"],
          ["none", "biases stay"],
        ],
      },
      instead: { fast: "It was removed: full, the default, also compensates for quantized activations." },
    },
  ),
  /** Calibration data or its path, for the static scheme and rounding methods that need samples. Uses the train split if any. */
  data: option(datasetOption, "static: calibration data; for a path, its train part if it has one", {
    value: "path",
  }),
  /** Number of calibration samples (200). */
  samples: described(v.optional(countOption, 200), "static: number of calibration samples", { value: "n" }),
  /** Runtimes of the result: a format that one of them cannot run in any version is not written. The pass does not run them. */
  target: v.optional(targetOption("runtimes of the result, on which it is compared with the original")),
});

export const quantizeOptions = v.pipe(
  entries,
  v.check(
    ({ scheme, dtype }) => (scheme === undefined) !== (dtype === undefined),
    "give exactly one of scheme and dtype",
  ),
);

export type QuantizeOptions = v.InferInput<typeof quantizeOptions> & LayerSelection;

/** The static scheme and some rounding methods need calibration samples. */
export const calibrationNeed = {
  when: ({ scheme, rounder }: OptionValues) =>
    scheme === "static"
      ? "the ranges of activations are measured on samples"
      : rounders.looksAtSamples(rounder)
        ? "the rounding method uses layer inputs"
        : undefined,
  helps: (options: OptionValues) => roundsByAnswers(options),
  trains: ({ epochs }: OptionValues) => epochs !== undefined,
};

/**
 * Work per sample in runs of the model, in batches and on one thread, measured on image networks: ranges, equalization and bias correction
 * together; reconstruction rounding.
 */
const [measuring, answering] = [35, 140];

export const runsPerSample = (options: OptionValues): number =>
  roundsByAnswers(options) || rounders.looksAtSamples(options.rounder)
    ? answering
    : options.scheme === "static"
      ? measuring
      : 0;

export const everySetting = <O extends { readonly overrides?: unknown }>(options: O): readonly O[] => [
  options,
  ...Object.values(Object(options.overrides)).map((own) => ({ ...options, ...Object(own) })),
];

export const isLowEntropy = ({ rounder }: OptionValues): boolean => rounder === rdoq.id || rounder === rdoq;

/** Returns whether the values of all layers can be low-entropy: integers of 8 bits without blocks and zero points. */
export const admitsLowEntropy = (options: OptionValues): boolean =>
  everySetting(withDtype(options)).every(
    ({ scheme, bits = 8, block, weights, zeroPoints }) =>
      scheme !== "float16" &&
      scheme !== "bfloat16" &&
      areCodes(weights) &&
      // 7-bit integers use the storage of 8 bits, but their sums never overflow.
      Number(bits) >= 7 &&
      block === undefined &&
      zeroPoints !== true,
  );

/** Returns the options for one of several dtypes: low-entropy values and their options only if the dtype admits them. */
export function optionsOfDtype<O extends OptionValues>(dtype: DtypeName, options: O): O {
  if (!isLowEntropy(options) || admitsLowEntropy({ dtype })) return options;
  const others = { rounder: undefined, distortion: undefined, epochs: undefined, augment: undefined };
  return { ...options, ...others, checkpoint: undefined, resume: undefined };
}

/** Returns the dtypes that keep their own values. @throws PithError E_OPTION if low-entropy values are requested and none admits them */
export function dtypesOfOtherValues(names: readonly DtypeName[], options: OptionValues): readonly DtypeName[] {
  const others = isLowEntropy(options) ? names.filter((dtype) => !admitsLowEntropy({ dtype })) : [];
  if (others.length === 0 || others.length < names.length) return others;
  throw new PithError(
    "E_OPTION",
    `quantize: \`rounder\`: rdoq is for the dtypes q8, int8 and uint8, got ${names.join(", ")}.`,
    { hint: "Add q8, or omit the rounding method." },
  );
}

/** Returns the options with the settings of the first step of a dtype, which is the step that quantizes to integers. */
export function withDtype({ dtype, ...given }: OptionValues): OptionValues {
  const name = dtypeNames.find((one) => one === dtype);
  return name === undefined ? given : { ...given, ...dtypes[name].steps[0] };
}

export const areCodes = (weights: unknown): boolean =>
  weights === undefined || weights === "int8" || weights === "uint8";

/** Returns whether the default method is one that reconstructs layer outputs: low-bit weights lose too much otherwise. */
const roundsByAnswers = (options: OptionValues): boolean =>
  options.rounder === undefined &&
  everySetting(withDtype(options)).some(
    ({ scheme, bits, weights }) => scheme === "weights" && typeof bits === "number" && bits < 8 && areCodes(weights),
  );

type Complete = v.InferOutput<typeof quantizeOptions>;

export type QuantizeSettings = Omit<Complete, "scheme" | "dtype" | "bits" | "rounder"> & {
  readonly scheme: NonNullable<Complete["scheme"]>;
  readonly bits: NonNullable<Complete["bits"]>;
  readonly rounder: NonNullable<Complete["rounder"]>;
} & Pick<DtypeStep, "arithmetic" | "everywhere">;

/** Returns the settings of each step of a scheme or dtype. @throws PithError E_OPTION if an option contradicts the dtype. */
export function settingsOfSteps({ scheme, dtype, ...given }: Complete): readonly QuantizeSettings[] {
  const usual = given.data !== undefined && roundsByAnswers({ ...given, scheme, dtype }) ? gptaq.id : nearest.id;
  const rest = { ...given, rounder: given.rounder ?? usual };
  if (dtype === undefined)
    return scheme === undefined ? [] : [{ ...rest, bits: rest.bits ?? usualBits({ ...rest, scheme }), scheme }];
  const { steps } = dtypes[dtype];
  const [first] = steps;
  for (const key of ["bits", "block", "weights"] as const) {
    const usual = first === undefined || first.scheme === "float16" ? undefined : usualBits(first);
    const own = first?.[key] ?? (key === "bits" ? usual : undefined);
    if (rest[key] === undefined || rest[key] === own) continue;
    const text = `quantize: \`${key}\` is ${own ?? "not free"} in the dtype "${dtype}", got ${rest[key]}.`;
    throw new PithError("E_OPTION", text, { hint: "Use `scheme` instead of `dtype` to choose it." });
  }
  return steps.map((step) => {
    // Options about integers do not apply to a later float16 step.
    const isRest = step.scheme === "float16" && steps.length > 1;
    return {
      ...rest,
      bits: rest.bits ?? usualBits(step),
      ...(isRest
        ? { rounder: "nearest" as const, zeroPoints: false, overrides: undefined, bits: 8 as const, block: undefined }
        : {}),
      ...step,
    };
  });
}

/** Default bits of a weight: 7 for int8 products, which are then exact on every processor (`multipliedBits`). */
export const usualBits = ({ scheme, weights }: Pick<Complete, "scheme"> & Partial<Pick<Complete, "weights">>): 7 | 8 =>
  (scheme === "dynamic" || scheme === "static") && weights !== "uint8" ? 7 : 8;

/** Integer widths of each scheme; undefined for float schemes. */
const bitsOf: Partial<Record<QuantizeSettings["scheme"], readonly number[]>> = {
  weights: [8, 6, 5, 4, 3, 2],
  static: [8, 7, 4],
  dynamic: [8, 7],
};

/** Rejects combinations that no model can satisfy. @throws PithError E_OPTION */
export function checkTogether(options: QuantizeSettings): void {
  const no = (text: string, hint?: string): PithError => new PithError("E_OPTION", `quantize: ${text}`, { hint });
  const { scheme, activations, rounder } = options;
  const all = everySetting(options);
  const weights = all.find((own) => own.weights === "uint8")?.weights;
  const isInteger = scheme === "dynamic" || scheme === "static";
  const packed = all.some((own) => (own.bits < 8 && !(isInteger && own.bits === 7)) || own.block !== undefined);
  if (rounders.of(rounder) !== nearest && all.every((own) => !areCodes(own.weights)))
    throw no(
      `\`rounder\`: the values of ${options.weights} are given, got "${rounders.of(rounder).id}".`,
      "Weights are rounded to the nearest of these values.",
    );
  for (const key of ["epochs", "distortion"] as const)
    if (options[key] !== undefined && !isLowEntropy(options))
      throw no(
        `\`${key}\`: belongs to the rounding method "rdoq", got "${rounders.of(rounder).id}".`,
        'Pass `rounder: "rdoq"`.',
      );
  for (const key of ["augment", "checkpoint"] as const)
    if (options[key] !== undefined && options.epochs === undefined)
      throw no(`\`${key}\`: belongs to a training, but no \`epochs\` are given.`, "Pass epochs, such as 2.");
  if (options.resume && options.checkpoint === undefined)
    throw no(
      "`resume`: expected `checkpoint`, the folder to continue from.",
      "Pass the folder of the stopped training.",
    );
  if (options.epochs !== undefined && options.data === undefined)
    throw no("`epochs`: values are trained on samples, but no data is given.", "Pass a data set.");
  for (const { weights: codes, bits, block } of all) {
    if (codes === undefined || codes === "int8" || codes === "uint8") {
      const able = bitsOf[scheme];
      if (able !== undefined && !able.includes(bits))
        throw no(
          `\`bits\`: the scheme "${scheme}" takes ${able.slice(0, -1).join(", ")} or ${able.at(-1)}, got ${bits}.`,
          scheme === "weights"
            ? '`weights: "palette"` takes 1 to 8.'
            : 'The scheme "weights" supports fewer bits; it computes in float.',
        );
      if (block !== undefined && ![8, 7, 4, 2].includes(bits))
        throw no(
          `\`block\`: blocks support 8, 4 or 2 bits, got ${bits}.`,
          "Without it, each output channel has a scale.",
        );
      continue;
    }
    if (scheme !== "weights")
      throw no(`\`weights\`: ${codes} is not available in the scheme "${scheme}".`, 'The scheme "weights" stores it.');
    if (codes === "nf4" && bits !== 8 && bits !== 4) throw no(`\`bits\`: nf4 has 4, got ${bits}.`, "Omit `bits`.");
  }
  const inCodes = scheme === "static" && !all.some((own) => own.bits === 2 || own.block !== undefined);
  if (scheme !== "weights" && packed && !inCodes)
    throw no(
      `\`bits\` below ${isInteger ? 7 : 8} and \`block\` are not available in the scheme "${scheme}".`,
      'The scheme "weights" stores matrix products in low-bit blocks.',
    );
  if (all.some((own) => own.bits === 2 && own.onnxOnly && own.weights !== "palette"))
    throw no(
      "`onnxOnly`: blocks have 4 or 8 bits in operators of ONNX, got 2.",
      "ONNX Runtime 1.30 multiplies with 2-bit weights of DequantizeLinear wrongly. `MatMulNBits`, which it writes without `onnxOnly`, is right.",
    );
  if (
    rounders.of(rounder).zeroPoints === true &&
    all.every((own) => own.block === undefined && ![4, 2].includes(own.bits))
  )
    throw no(
      `\`rounder\`: "${rounders.of(rounder).id}" computes zero points of blocks, but the options select no blocks.`,
      "`bits: 4` and `bits: 2` store matrix products in blocks, and so does 8 bits with `block: 32`.",
    );
  const isHalf = scheme === "float16" || scheme === "bfloat16";
  if (isHalf && options.overrides !== undefined)
    throw no(`\`overrides\`: ${scheme} has no per-layer options.`, "`layers` and `except` choose layers.");
  if (isHalf && rounders.of(rounder) !== nearest) throw no(`\`rounder\`: ${scheme} always rounds to nearest.`);
  if (isLowEntropy(options) && !admitsLowEntropy(options))
    throw no(
      "`rounder`: rdoq chooses the steps of 8-bit integers: `bits` below 8, `block`, `zeroPoints` and other `weights` do not apply.",
      "`distortion` sets how many bits a weight has after compression.",
    );
  if (scheme === "dynamic" && activations !== "uint8")
    throw no(
      `\`activations\`: ${activations} is not available in the dynamic scheme.`,
      "ONNX's DynamicQuantizeLinear produces uint8 only.",
    );
  const lack = scheme === "bfloat16" ? lackOf(bfloat16, options) : undefined;
  if (lack !== undefined)
    throw no(
      `\`scheme\`: ${scheme} is ${lack.reason}.`,
      'Schemes for every `target` are "weights", "dynamic", "static" and "float16"; GPUs compute in float: "weights", or `dtype: "fp16"`.',
    );
  if (scheme === "static" && activations === "int8" && weights === "uint8")
    throw no(
      "`weights`: int8 activations need int8 weights, got uint8.",
      "ONNX Runtime's kernels multiply int8 activations by int8 weights only, and uint8 activations by either.",
    );
}
