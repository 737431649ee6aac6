// What every answer of both servers must be, whatever was asked.
#pragma once

#include "http/fake_response_port.h"

namespace twofold::fuzz {

// Aborts when the answer could not be sent, is a failure of the server, is no JSON where it says
// so, or when the handler has dropped the request.
void check_answer(const http::FakeResponsePort& port);

}  // namespace twofold::fuzz
