/** Formats which samples trained, calibrated and tested a model. */
import { integer } from "#ir";
import type { SampleUse, UsedSplit } from "../../judge/recipe/open-samples.ts";

/** Returns the use of samples: `trained on: cifar10 (train, 19,800)  calibrated on: cifar10 (train, 200)  tested on: cifar10 (test, 1,000)`. */
export function samplesLine({ train, calibrate, test, validation, compared }: SampleUse & SelectionSamples): string {
  return Object.entries({ "trained on": train, "calibrated on": calibrate, "tested on": test })
    .flatMap(([use, part]) =>
      part === undefined
        ? []
        : [
            fittedText(part) ??
              `${use}: ${partText(part, part === test ? { validation, compared, others: { train, calibrate } } : {})}`,
          ],
    )
    .join("  ");
}

export const dataLines = (uses: SampleUse & SelectionSamples, preprocessing: string | undefined): string[] => [
  samplesLine(uses),
  ...(preprocessing === undefined ? [] : [`preprocessing: ${preprocessing}`]),
];

interface SelectionSamples {
  /** Number of test samples that chose the variant. */
  readonly validation?: number | undefined;
  /** Number of samples on which a search compared its candidates. */
  readonly compared?: number | undefined;
}

/** Returns `fitted on 256 and checked on 512 samples of cifar10 (train, 20,000)`; undefined if training used all samples. */
function fittedText(part: UsedSplit): string | undefined {
  const { count, fitted, checked } = part;
  if (fitted === undefined || fitted === count) return undefined;
  const other = checked === undefined ? "" : ` and checked on ${integer(checked)}`;
  return `fitted on ${integer(fitted)}${other} samples of ${partText(part)}`;
}

function partText(
  { name = "samples", count, of, searched }: SampleUse["test"],
  { validation, compared, others = {} }: SelectionSamples & { readonly others?: Partial<SampleUse> } = {},
): string {
  // A name can contain a path, and the split in parentheses: "data/cifar10 (train)".
  const [, path = name, split] = /^(.*?)(?: \(([^()]*)\))?$/.exec(name) ?? [];
  const file = path.replace(/[/\\]+$/, "").replace(/^.*[/\\]/, "");
  const all = count === undefined ? "a stream" : integer(count);
  const samples =
    count === undefined || validation === undefined
      ? all
      : `${integer(count - validation)} of ${all}; ${integer(validation)} chose the candidate`;
  const searchedText = searched === undefined ? "" : `; ${integer(searched)} others chose the bits of layers`;
  const comparedText = compared === undefined ? "" : `; ${integer(compared)} others compared the candidates`;
  const otherUses = Object.entries({ training: others.train, calibration: others.calibrate }).map(([use, part]) =>
    part?.count === undefined || part.name !== name ? "" : `; ${integer(part.count)} others for ${use}`,
  );
  const enoughText =
    of === undefined ? "" : ` of ${integer(of)}, drawn at random, were enough to decide; --samples ${of} takes all`;
  return `${file} (${split === undefined ? "" : `${split}, `}${samples}${searchedText}${enoughText}${comparedText}${otherUses.join("")})`;
}

export const constantOutputsNote = "; all outputs are constant there: this is weak evidence";

export function missingOperatorsNote(operators: readonly string[]): string {
  return operators.length === 0 ? "" : `; without ${operators.join(", ")}, which this runtime does not have`;
}
