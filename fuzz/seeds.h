// Seeds for the corpora: small inputs that a target accepts, made by our own writers and of the
// examples in the contract, so that fuzzing begins behind the first checks.
#pragma once

#include "base/bytes.h"

#include <functional>
#include <string>
#include <string_view>

namespace twofold::fuzz {

using SeedSink =
    std::function<void(std::string_view target, const std::string& name, const base::Bytes& bytes)>;

void seed_logs(const SeedSink& sink);      // records, folds, directories, sealed files
void seed_messages(const SeedSink& sink);  // what coordinator and participant tell each other
void seed_texts(const SeedSink& sink);     // SQL, ids, addresses, configuration, redo, HTTP
// `document`: the text of an OpenAPI document; `target`: coordinator_api or participant_api.
void seed_examples(const std::string& document, std::string_view target, const SeedSink& sink);

}  // namespace twofold::fuzz
