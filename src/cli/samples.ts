import { integer } from "../evaluate/numbers.ts";
import type { Part, SampleUse } from "./jobs/task.ts";

/**
 * `trained on: cifar10 (train, 19,800) calibrated on: cifar10 (train, 200) tested on: cifar10 (test, 1,000)`; `(test, 1,024 of 10,000, drawn at
 * random, were enough to decide; --samples 10000 takes all)`
 */
export function samplesLine({
  train,
  calibrate,
  test,
  validation,
}: SampleUse & { readonly validation?: number | undefined }): string {
  const said = Object.entries({ "trained on": train, "calibrated on": calibrate, "tested on": test });
  return said
    .flatMap(([use, part]) =>
      part === undefined
        ? []
        : [learntText(part) ?? `${use}: ${partText(part, part === test ? validation : undefined)}`],
    )
    .join("  ");
}

/** `fitted on 256, checked on 512, of cifar10 (train, 20,000)`; undefined if all were trained on. */
function learntText(part: Part): string | undefined {
  const { count, fitted, checked } = part;
  if (fitted === undefined || fitted === count) return undefined;
  const other = checked === undefined ? "" : `, checked on ${integer(checked)},`;
  return `fitted on ${integer(fitted)}${other} of ${partText(part)}`;
}

function partText({ name = "samples", count, of, searched }: SampleUse["test"], validation?: number): string {
  // "data/cifar10 (train)": a name can contain a path, and the split in parentheses.
  const [, path = name, brackets] = /^(.*?)(?: \(([^()]*)\))?$/.exec(name) ?? [];
  const file = path.replace(/[/\\]+$/, "").replace(/^.*[/\\]/, "");
  const all = count === undefined ? "a stream" : integer(count);
  const samples =
    count === undefined || validation === undefined
      ? all
      : `${integer(count - validation)} of ${all}; ${integer(validation)} chose the variant`;
  const chose = searched === undefined ? "" : `; ${integer(searched)} others chose the bits of layers`;
  const settled =
    of === undefined ? "" : ` of ${integer(of)}, drawn at random, were enough to decide; --samples ${of} takes all`;
  return `${file} (${brackets === undefined ? "" : `${brackets}, `}${samples}${chose}${settled})`;
}
