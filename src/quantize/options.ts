/** Settings of `quantize`, declared once, and what follows from them. */
import * as v from "valibot";
import { datasetOption } from "../data/option.ts";
import { PithError } from "../errors.ts";
import {
  countOption,
  described,
  type LayerSelection,
  option,
  overridesOption,
  selectionOptions,
} from "../passes/options.ts";
import type { OptionValues } from "../passes/pass.ts";
import { type DtypeStep, dtypeNames, dtypes } from "./dtypes.ts";
import { gptaq } from "./rounders/gptaq.ts";
import { rounders } from "./rounders/index.ts";
import { nearest } from "./rounders/nearest.ts";
import { bfloat16, lackOf, targetOption } from "./runtimes.ts";

export const rangeMethods = ["min-max", "average", "percentile", "mse", "entropy"] as const;
/** How ranges of activations follow from samples. */
export type RangeMethod = (typeof rangeMethods)[number];

export type ActivationType = "uint8" | "int8" | "uint16" | "int16";

/** Whether a type has 16 bits. */
export const isWide = (type: ActivationType): boolean => type.endsWith("16");

const bits = v.picklist([1, 2, 3, 4, 5, 6, 7, 8], "takes a whole number from 1 to 8");
const weightCodes = ["int8", "uint8", "float8", "nf4", "fp4", "palette"] as const;
const weights = v.picklist(weightCodes);
/** What the codes of a weight stand for. */
export type WeightCodes = (typeof weightCodes)[number];
const block = v.picklist([16, 32, 64, 128, 256], "takes 16, 32, 64, 128 or 256, for which ONNX Runtime has kernels");

const activationTypes = v.picklist(["uint8", "int8", "uint16", "int16"]);

const integers =
  "8 bits: --scheme static with --data, --scheme dynamic without; --scheme weights stores weights alone.";
const fourBits = "4 bits: --scheme weights --bits 4; for transformers.js --dtype q4.";
const halves = "16 bits: --scheme float16, or bfloat16.";

const entries = v.strictObject({
  /** "weights": 8-bit weights, arithmetic in float; "dynamic" and "static": arithmetic on integers, with ranges found at run time or measured on `data`; "float16": all in half precision, and the arithmetic too with `arithmetic`; "bfloat16": stored so. */
  scheme: option(
    v.picklist(
      ["weights", "dynamic", "static", "float16", "bfloat16"],
      'expected "weights", "dynamic", "static", "float16" or "bfloat16"',
    ),
    "what to store and compute in fewer bits",
    {
      meanings: {
        title: "Schemes (--scheme)",
        rows: [
          ["weights", "8-bit weights, arithmetic in float"],
          ["dynamic", "8-bit weights and activations, integer arithmetic, ranges computed at run time"],
          ["static", "8-bit weights and activations, integer arithmetic, ranges measured on data"],
          ["float16", "all values in half precision"],
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
  /** In place of a scheme, a variant by the name that transformers.js gives it. */
  dtype: option(v.picklist(dtypeNames), "transformers.js variant, instead of a scheme", {
    meanings: {
      title: "Variants (--dtype)",
      rows: dtypeNames.map((name) => [name, `${dtypes[name].meaning} (model${dtypes[name].suffix}.onnx)`]),
    },
  }),
  /** float16: "float32" widens the weights when the model is loaded, the same on every backend; "float16" computes in it, too, as files called fp16 do ("float32"). */
  arithmetic: described(
    v.optional(v.picklist(["float32", "float16"], 'expected "float32" or "float16"'), "float32"),
    "scheme float16: type to compute in (float16 for GPUs)",
  ),
  /**
   * Bits of a weight (8). Of 4 and 2 matrix products and embedding tables have blocks (tables never below 4 bits), other layers a scale for each output. 3, 5 and 6 are
   * stored in the next wider integers of ONNX, 4 and 8 bits, a scale for each output, and compress to less; palettes of 1 to 8 bits are packed.
   * Of int8 that is multiplied by activations 7: sums of products are the same on every processor. With 8 they overflow on x86 processors without VNNI.
   */
  bits: option(bits, "bits per weight, 8 to 2 (integer arithmetic: 8, 7 or 4; palettes: any)", {
    value: "n",
    instead: Object.fromEntries(Array.from({ length: 24 }, (_, at) => [String(9 + at), halves])),
  }),
  /** So many inputs of a matrix product, or numbers in a row of a table, share a scale: 16, 32, 64, 128 or 256 (32 for fewer than 8 bits; else an output channel shares one). */
  block: option(block, "weights of a row that share a scale (default below 8 bits: 32)", {
    value: "n",
  }),
  /** Operators of ONNX alone: blocks are for DequantizeLinear, which convolutions read, too, in 4 or 8 bits (false: blocks are for operators of ONNX Runtime). */
  onnxOnly: described(v.optional(v.boolean(), false), "standard ONNX operators only, also for blocks of convolutions"),
  /** Blocks have zero points, too (false; rounders that find them write them in any case). */
  zeroPoints: described(v.optional(v.boolean(), false), "store a zero point per block (k-quant always does)"),
  /**
   * How weights are rounded: "nearest", with scales over their whole range; "mse", with scales of the least squared error; a method of one's own, or the path of a module that exports it.
   * Left out: "gptaq" for weights of fewer than 8 bits where there is `data`, else "nearest".
   */
  rounder: option(rounders.schema, "rounding method, or a module (default: nearest; low-bit with --data: gptaq)", {
    value: "rounder",
    meanings: rounders.meanings,
  }),
  /** One scale per output channel of a weight, instead of one per weight (true). */
  perChannel: described(v.optional(v.boolean(), true), "one scale per output channel, instead of one per weight", {
    negated: "per-tensor weight scales, instead of one scale per output channel",
  }),
  ...selectionOptions("quantize"),
  /** For single layers: { "layer4*": { perChannel: false }, head: { float: true } }. */
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
  /**
   * What codes stand for (int8; dynamic: the type that the operator's kernel is fast with). Scheme "weights": "float8" (E4M3), "nf4" and "fp4" (4 bits,
   * blocks of 64, matrix products), "palette" (the values that represent the weight best, 2 to the power of `bits`), too.
   */
  weights: option(weights, "type of quantized weights (default: int8; dynamic: the faster type)", {
    meanings: {
      title: "Codes (--weights)",
      rows: [
        ["int8, uint8", "integers"],
        ["float8", "floats of 8 bits (E4M3)"],
        ["nf4, fp4", "4-bit floats as in bitsandbytes (matrix products only)"],
        ["palette", "a codebook per weight with 2 to the power of --bits values"],
      ],
    },
  }),
  /** Type of activations ("uint8"). ONNX Runtime's CPU kernels have 8 bits; with 16 it computes in float what other runtimes do on integers. */
  activations: described(v.optional(activationTypes, "uint8"), "type of activations"),
  /** Static: ranges of activations hold all numbers ("min-max", as usual), or leave out what is rare. */
  ranges: described(v.optional(v.picklist(rangeMethods), "min-max"), "static: ranges of activations", {
    meanings: {
      title: "Ranges (--ranges)",
      rows: [
        ["min-max", "all numbers"],
        ["average", "a moving average of the range of each batch"],
        ["percentile", "clip one value in 100,000: try it first if min-max loses too much"],
        ["mse", "least squared error"],
        ["entropy", "least Kullback-Leibler divergence"],
      ],
    },
  }),
  /** Static: "qdq" writes roundings around float operators, which runtimes fuse; "qoperator" writes operators on codes ("qdq"). */
  integerForm: described(
    v.optional(v.picklist(["qdq", "qoperator"]), "qdq"),
    "static: QDQ format, or operators on quantized values",
  ),
  /** Static: ranges of activations are centred at 0 (false: they reach from the smallest to the largest number). */
  symmetric: described(
    v.optional(v.boolean(), false),
    "static: symmetric activation ranges, as some accelerators require",
  ),
  /**
   * Activations and weights of integer arithmetic are brought to ranges that round with less error, by factors that move between layers and leave what the model computes as it
   * is, but for biases that absorb what channels do not fall below on these samples (docs/quantization.md): with `data`, and of weights with one scale for all without (true).
   */
  equalize: described(
    v.optional(v.boolean(), true),
    "migrate outliers between layers before quantizing, if it lowers the output error",
    {
      negated: "skip equalization, rotation and bias absorption (docs/quantization.md)",
    },
  ),
  /**
   * What rounding did to the mean of each channel goes back into biases, where that takes noise from answers to other samples: "full" layer after layer, each behind those
   * that are right already, "fast" from the original model's layer inputs ("full"; static, and weights where there is `data`).
   */
  biasCorrection: described(
    v.optional(v.picklist(["full", "fast", "none"]), "full"),
    "with data: correct biases for the mean quantization error",
    {
      value: "how",
      meanings: {
        title: "Bias correction (--bias-correction)",
        rows: [
          ["full", "layer by layer, on activations of the already corrected model"],
          ["fast", "from the original model's layer inputs"],
          ["none", "biases stay"],
        ],
      },
    },
  ),
  /** Static, and rounders that look at samples: data, or its path, of which the train part is taken where it has one. */
  data: option(datasetOption, "static: calibration data; for a path, its train part if it has one", {
    value: "path",
  }),
  /** So many samples of it (200). */
  samples: described(v.optional(countOption, 200), "static: number of calibration samples", { value: "n" }),
  /** Runtimes that the result is for: what no version of one of them can run is not written. The pass runs it on none of them. */
  target: v.optional(targetOption("runtimes of the result, on which it is compared with the original")),
});

export const quantizeOptions = v.pipe(
  entries,
  v.check(
    ({ scheme, dtype }) => (scheme === undefined) !== (dtype === undefined),
    "give exactly one of scheme and dtype",
  ),
);

/** `scheme` or `dtype`, and what both leave open. */
export type QuantizeOptions = v.InferInput<typeof quantizeOptions> & LayerSelection;

/** The static scheme measures ranges, and some rounders look at what comes into layers. */
export const calibrationNeed = {
  when: ({ scheme, rounder }: OptionValues) =>
    scheme === "static"
      ? "the ranges of activations are measured on samples"
      : rounders.looksAtSamples(rounder)
        ? "the rounding method uses layer inputs"
        : undefined,
  helps: (options: OptionValues) => roundsByAnswers(options),
};

/** Runs of a sample that ranges, equalization and bias correction take together, and rounding by what the original answers, as measured on networks for images. */
const [measuring, answering] = [15, 140];

/** The work of quantization for each sample, as so many runs of the model on one. */
export const runsOfSample = (options: OptionValues): number =>
  roundsByAnswers(options) || rounders.looksAtSamples(options.rounder)
    ? answering
    : options.scheme === "static"
      ? measuring
      : 0;

/** The options, and what they are with those of each override: a layer may have any of these. */
export const everySetting = <O extends { readonly overrides?: unknown }>(options: O): readonly O[] => [
  options,
  ...Object.values(Object(options.overrides)).map((own) => ({ ...options, ...Object(own) })),
];

/** With the settings of the first step of a dtype, which is the one that rounds to integers. */
export function withDtype({ dtype, ...given }: OptionValues): OptionValues {
  const name = dtypeNames.find((one) => one === dtype);
  return name === undefined ? given : { ...given, ...dtypes[name].steps[0] };
}

const areCodes = (weights: unknown): boolean => weights === undefined || weights === "int8" || weights === "uint8";

/** Whether weights are rounded by the answers of the original where nothing is said of it: where few bits would lose too much without. */
const roundsByAnswers = (options: OptionValues): boolean =>
  options.rounder === undefined &&
  everySetting(withDtype(options)).some(
    ({ scheme, bits, weights }) => scheme === "weights" && typeof bits === "number" && bits < 8 && areCodes(weights),
  );

type Complete = v.InferOutput<typeof quantizeOptions>;

/** The options with what is not said filled in, for one scheme. */
export type QuantizeSettings = Omit<Complete, "scheme" | "dtype" | "bits" | "rounder"> & {
  readonly scheme: NonNullable<Complete["scheme"]>;
  readonly bits: NonNullable<Complete["bits"]>;
  readonly rounder: NonNullable<Complete["rounder"]>;
  readonly everywhere?: DtypeStep["everywhere"];
};

/** The settings of each step: one for a scheme, one or more for a dtype. @throws PithError E_OPTION where an option contradicts the dtype. */
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
    // What is said of integers says nothing of half precision, of which a step before has left less.
    const isRest = step.scheme === "float16" && steps.length > 1;
    return {
      ...rest,
      bits: rest.bits ?? usualBits(step),
      arithmetic: "float32" as const,
      ...(isRest
        ? { rounder: "nearest" as const, zeroPoints: false, overrides: undefined, bits: 8 as const, block: undefined }
        : {}),
      ...step,
    };
  });
}

/** Bits of a weight where nothing is said of them. Products with int8 are exact with 7 on every processor (`multipliedBits`). */
export const usualBits = ({ scheme, weights }: Pick<Complete, "scheme"> & Partial<Pick<Complete, "weights">>): 7 | 8 =>
  (scheme === "dynamic" || scheme === "static") && weights !== "uint8" ? 7 : 8;

/** Bits of integers; undefined: the scheme has none. */
const bitsOf: Partial<Record<QuantizeSettings["scheme"], readonly number[]>> = {
  weights: [8, 6, 5, 4, 3, 2],
  static: [8, 7, 4],
  dynamic: [8, 7],
};

/** What a scheme cannot do, whatever the model. @throws PithError E_OPTION */
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
    if (codes !== "palette" && bits !== 8 && !(bits === 4 && codes !== "float8"))
      throw no(`\`bits\`: ${codes} has ${codes === "float8" ? 8 : 4}, got ${bits}.`, "Omit `bits`.");
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
  if (scheme !== "float16" && options.arithmetic === "float16")
    throw no(
      `\`arithmetic\` is not available in the scheme "${scheme}".`,
      'Quantize to the scheme "float16" afterwards: low-bit weights stay as they are.',
    );
  const isHalf = scheme === "float16" || scheme === "bfloat16";
  if (isHalf && options.overrides !== undefined)
    throw no(`\`overrides\`: ${scheme} has no per-layer options.`, "`layers` and `except` choose layers.");
  if (isHalf && rounders.of(rounder) !== nearest) throw no(`\`rounder\`: ${scheme} always rounds to nearest.`);
  if (scheme !== "static" && options.integerForm === "qoperator")
    throw no(
      `\`integerForm\` is not available in the scheme "${scheme}".`,
      'The scheme "static" has QuantizeLinear nodes that these operators replace.',
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
      'Schemes for every `target` are "weights", "dynamic", "static" and "float16"; GPUs compute in float: "weights", or "float16" with `arithmetic`.',
    );
  if (scheme === "static" && activations === "int8" && weights === "uint8")
    throw no(
      "`weights`: int8 activations need int8 weights, got uint8.",
      "ONNX Runtime's kernels multiply int8 activations by int8 weights only, and uint8 activations by either.",
    );
}
