"use strict";
(function () {
  document.documentElement.classList.add("js");
  var said = document.getElementById("said");

  function select(element) {
    var range = document.createRange();
    range.selectNodeContents(element);
    var selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  }

  function tell(button, text) {
    button.textContent = text;
    said.textContent = text;
    // A second click has its own two seconds.
    window.clearTimeout(button.reset);
    button.reset = window.setTimeout(function () { button.textContent = "Copy"; }, 2000);
  }

  function copy(button) {
    var nodes = document.getElementById("count-nodes").checked;
    var code = button.closest(".list").querySelector(nodes ? "code.nodes" : "code.zero");
    // Where pages may not write to the clipboard, the list is left selected.
    function byHand() {
      select(code);
      tell(button, document.execCommand("copy") ? "Copied" : "Selected");
    }
    if (navigator.clipboard) {
      navigator.clipboard.writeText(code.textContent).then(function () { tell(button, "Copied"); }, byHand);
    } else {
      byHand();
    }
  }

  document.addEventListener("click", function (event) {
    var button = event.target.closest("button.copy");
    if (button) { copy(button); }
  });
})();
