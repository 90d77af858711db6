/** Repeated blocks of a network, in a line each. */
import type { Inspection } from "../../report/inspect/inspect.ts";
import { count, counted, integer } from "../numbers.ts";

/** "12 blocks of one kind: encoder.layer.0 … 11 (6 layers, 7.1 M parameters each)", for each stretch that holds layers. */
export function blockLines({ all, repeats }: Inspection["blocks"]): readonly string[] {
  return repeats.flatMap(({ first, count: blocks }) => {
    const [row, last] = [all[first], all[first + blocks - 1]];
    if (row === undefined || last === undefined || row.layers.length === 0) return [];
    const layers = `${counted(row.layers.length, "layer")}`;
    const names = `${row.name} … ${endOf(last.name, row.name)}`;
    return [`${integer(blocks)} blocks of one kind: ${names} (${layers}, ${count(row.parameters)} parameters each)`];
  });
}

/** A name without the parts in front that another begins with too: "11" of "encoder.layer.11" beside "encoder.layer.0". */
function endOf(name: string, other: string): string {
  const [parts, others] = [name.split("."), other.split(".")];
  const at = parts.findIndex((part, index) => part !== others[index]);
  return at < 0 ? name : parts.slice(at).join(".");
}
