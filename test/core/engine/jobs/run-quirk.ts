/** A job that runs the model of a quirk, which can crash its process. */
import { runQuirk } from "../quirks.ts";

export default async function runQuirkJob({ model }: { readonly model: string }): Promise<void> {
  await runQuirk({ model }, true);
}
