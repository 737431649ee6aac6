// The fuzz targets: each takes bytes that anybody may have written, gives them to one reader of
// ours, and aborts when something does not hold that must hold for all bytes. No target opens a
// socket, and none keeps anything from one input to the next, so a finding can be repeated from its
// bytes alone.
//
// With libFuzzer every target is a program of its own (entry.cc); in all other builds one program
// replays the corpus (replay_main.cc).
#pragma once

#include "base/bytes.h"

namespace twofold::fuzz {

void branch_work(base::ByteSpan input);
void client_answers(base::ByteSpan input);
void config_file(base::ByteSpan input);
void coordinator_api(base::ByteSpan input);
void coordinator_bodies(base::ByteSpan input);
void directory_file(base::ByteSpan input);
void http_reply(base::ByteSpan input);
void http_request(base::ByteSpan input);
void ids(base::ByteSpan input);
void log_directory(base::ByteSpan input);
void log_fold(base::ByteSpan input);
void log_record(base::ByteSpan input);
void participant_api(base::ByteSpan input);
void participant_messages(base::ByteSpan input);
void sealed_file(base::ByteSpan input);
void sql_screening(base::ByteSpan input);
void sqlite_redo(base::ByteSpan input);
void urls(base::ByteSpan input);

}  // namespace twofold::fuzz
