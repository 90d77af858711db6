/** Makes the files that the user can download. */
import { type Candidate, Failure } from "./backend/backend.ts";
import { backendOf, runJob, showProblem } from "./state/jobs.ts";
import { zipFolder } from "./transformers-folder.ts";

export type Product = "model" | "model.gz" | "model.br" | "recipe" | "report" | "folder";

export async function download(candidate: Candidate, product: Product, name: string): Promise<void> {
  if (product === "model.br") {
    // It takes four seconds for each megabyte.
    await runJob(name, "take", async (options) => {
      await requireReadable(candidate.file);
      options.onProgress?.({ stage: "compress" });
      saveFile(await backendOf().call("brotli", [candidate.file], options), name);
    });
    return;
  }
  try {
    saveFile(await productOf(candidate, product), name);
  } catch (error) {
    showProblem("take", error);
  }
}

/** Gives the user a file under a name. */
export function saveFile(content: Blob, name: string): void {
  const address = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

async function productOf({ file, recipe, run }: Candidate, product: Exclude<Product, "model.br">): Promise<Blob> {
  switch (product) {
    case "model":
      await requireReadable(file);
      return file;
    case "model.gz":
      await requireReadable(file);
      return new Response(file.stream().pipeThrough(new CompressionStream("gzip"))).blob();
    case "folder":
      return zipFolder();
    case "recipe":
      return new Blob([recipe], { type: "application/yaml" });
    case "report":
      if (run === undefined) throw new Failure("A report needs samples.", "E_DATA", "Add samples.");
      return new Blob([await backendOf().call("report", [run])], { type: "text/html" });
  }
}

/** The file of a stored candidate cannot be read after another tab has removed it. */
async function requireReadable(file: Blob): Promise<void> {
  await file
    .slice(0, 1)
    .arrayBuffer()
    .catch(() => {
      throw new Failure("The stored file of this candidate was removed.", "E_FILE", "Make the candidate again.");
    });
}
