/** Imports of operator sets: OperatorSetIdProto. */

import { type Field, fieldText, lastVarint, payload, splitFields } from "./fields.ts";
import { opsetFields } from "./schema.ts";

/** "ai.onnx" is the long name of the default domain, "". */
export function readOpset(field: Field): readonly [domain: string, version: number] {
  let domain = "";
  let version = 0;
  for (const part of splitFields(payload(field), field.start)) {
    if (part.number === opsetFields.domain) domain = fieldText(part);
    else if (part.number === opsetFields.version) version = Number(lastVarint(part));
  }
  return [domain === "ai.onnx" ? "" : domain, version];
}
