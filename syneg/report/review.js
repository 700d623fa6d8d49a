// Decisions of the review section, as the JSON Lines that mix.review reads. The page is whole without this script.
(() => {
  const box = document.getElementById("review");
  if (!box) return;
  const checked = () => [...box.querySelectorAll("input[type=radio]:checked")];
  const lines = () => checked().map(input => {
    const { query, positive, negative } = input.dataset;
    const key = { query_id: query, positive_id: positive, ...(negative === undefined ? {} : { negative_id: negative }) };
    return JSON.stringify({ ...key, decision: input.value });
  });
  const button = box.querySelector("button");
  box.querySelectorAll("[hidden]").forEach(element => { element.hidden = false; });
  box.addEventListener("change", () => { button.textContent = `Save ${checked().length} decisions`; });
  button.addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines().map(line => line + "\n").join("")], { type: "application/jsonl" }));
    link.download = "review.jsonl";
    link.click();
  });
})();
