/** Makes the files that the user can download. */
import { type Candidate, Failure } from "./backend/backend.ts";
import { backendOf } from "./state.ts";

export type Product = "model" | "model.gz" | "recipe" | "report";

export async function productOf({ file, recipe, run }: Candidate, product: Product): Promise<Blob> {
  switch (product) {
    case "model":
      return file;
    case "model.gz":
      return new Response(file.stream().pipeThrough(new CompressionStream("gzip"))).blob();
    case "recipe":
      return new Blob([recipe], { type: "application/yaml" });
    case "report":
      if (run === undefined) throw new Failure("A report needs samples.", "E_DATA", "Add samples.");
      return new Blob([await backendOf().call("report", [run])], { type: "text/html" });
  }
}
