/** A loss as an option of a pass: the object, or the text that says one. */
import * as v from "valibot";
import { understood } from "../../passes/options.ts";
import type { Loss } from "../loss.ts";
import { parseLoss } from "./parse.ts";

function isLoss(value: unknown): boolean {
  return typeof value === "object" && value !== null && "build" in value;
}

/** A text that says none is refused before anything is done. */
export const lossOption = v.union([
  v.pipe(v.string(), understood("loss", parseLoss)),
  v.custom<Loss>(isLoss, "must be a loss"),
]);
