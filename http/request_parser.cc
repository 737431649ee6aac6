#include "http/request_parser.h"

#include "base/planted_bug.h"
#include "http/header_scan.h"
#include "http/target.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/system/errc.hpp>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

namespace twofold::http {

namespace {

namespace beast = boost::beast;
using beast::error_code;

std::string_view view(beast::string_view text) noexcept { return {text.data(), text.size()}; }

Method method_of(beast::http::verb verb) noexcept {
    switch (verb) {
        case beast::http::verb::get: return Method::get;
        case beast::http::verb::head: return Method::head;
        case beast::http::verb::post: return Method::post;
        case beast::http::verb::put: return Method::put;
        case beast::http::verb::delete_: return Method::delete_;
        case beast::http::verb::patch: return Method::patch;
        case beast::http::verb::options: return Method::options;
        default: return Method::other;
    }
}

// Beast's grammar with our own strictness, filling in our Request directly: no Beast message
// between.
class Grammar final : public beast::http::basic_parser<true> {
public:
    explicit Grammar(const RequestLimits& limits) : limits_(limits) {
        eager(true);
        // HeaderScanner has bounded it already.
        header_limit(std::numeric_limits<std::uint32_t>::max());
        body_limit(limits.body_size_max);
    }

    Request request;
    RequestParser::Failure failure;
    bool expects_continue = false;
    bool http_1_0 = false;

    // Between two chunks fewer than five bytes cannot complete anything. Beast 1.81 takes "0 CR LF"
    // alone, and then asserts that the next call brings five bytes: anybody could end the process.
    [[nodiscard]] bool must_wait(std::size_t size) const {
        return chunked() && chunk_left_ == 0 && size < 5;
    }

private:
    void refuse(const ProblemCode& problem, std::string detail, error_code& ec) {
        failure.problem = &problem;
        failure.detail = std::move(detail);
        ec = boost::system::errc::make_error_code(boost::system::errc::bad_message);
    }

    void on_request_impl(beast::http::verb verb,
                         beast::string_view,
                         beast::string_view target,
                         int version,
                         error_code&) override {
        request.method = method_of(verb);
        request.target = view(target);
        http_1_0 = version == 10;
    }

    void on_response_impl(int, beast::string_view, int, error_code&) override {}

    void on_field_impl(beast::http::field field,
                       beast::string_view name,
                       beast::string_view value,
                       error_code& ec) override {
        if (header_done_) {
            return;  // trailers: nobody needs them, and they must not look like header fields
        }
        if (request.headers.size() >= limits_.header_count_max) {
            return refuse(
                problems::kHeaderTooLarge,
                "more than " + std::to_string(limits_.header_count_max) + " header fields",
                ec);
        }
        request.headers.add(view(name), view(value));
        switch (field) {
            case beast::http::field::host: ++hosts_; break;
            case beast::http::field::content_length:
                // Beast accepts equal ones and lists of equal ones; a proxy before us might not.
                if ((++content_lengths_ > 1 && !TWOFOLD_PLANTED_BUG("http.two_lengths")) ||
                    view(value).find(',') != std::string_view::npos) {
                    refuse(problems::kBadRequest, "Content-Length is given more than once", ec);
                }
                break;
            case beast::http::field::transfer_encoding:
                if (!equal_ignoring_case(view(value), "chunked")) {
                    refuse(problems::kNotImplemented,
                           "the only Transfer-Encoding that is supported is \"chunked\"",
                           ec);
                }
                chunked_ = true;
                break;
            case beast::http::field::content_encoding:
                if (!equal_ignoring_case(view(value), "identity")) {
                    refuse(problems::kUnsupportedEncoding,
                           "send the body without Content-Encoding",
                           ec);
                }
                break;
            case beast::http::field::expect:
                if (!equal_ignoring_case(view(value), "100-continue")) {
                    refuse(problems::kExpectationFailed,
                           "the only expectation that is supported is \"100-continue\"",
                           ec);
                }
                expects_continue = !http_1_0;
                break;
            default: break;
        }
    }

    void on_header_impl(error_code& ec) override {
        header_done_ = true;
        if (hosts_ > 1 || (hosts_ == 0 && !http_1_0)) {
            return refuse(problems::kBadRequest, "send exactly one Host field", ec);
        }
        if (chunked_ && http_1_0) {
            return refuse(problems::kBadRequest, "HTTP/1.0 has no Transfer-Encoding", ec);
        }
        if (auto wrong = split_target(request)) {
            return refuse(problems::kBadRequest, std::move(*wrong), ec);
        }
    }

    void on_body_init_impl(const boost::optional<std::uint64_t>& length, error_code&) override {
        // Memory follows what has arrived, not what was announced.
        constexpr std::uint64_t kReserveMax = 64UL * 1024;
        if (length.has_value()) {
            request.body.reserve(static_cast<std::size_t>(std::min(*length, kReserveMax)));
        }
    }

    std::size_t on_body_impl(beast::string_view piece, error_code&) override {
        request.body.append(piece.data(), piece.size());
        return piece.size();
    }

    void on_chunk_header_impl(std::uint64_t size, beast::string_view, error_code&) override {
        chunk_left_ = size;
    }

    std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view piece, error_code&) override {
        chunk_left_ -= piece.size();
        request.body.append(piece.data(), piece.size());
        return piece.size();
    }

    void on_finish_impl(error_code&) override {}

    const RequestLimits& limits_;
    std::size_t hosts_ = 0;
    std::size_t content_lengths_ = 0;
    bool chunked_ = false;
    std::uint64_t chunk_left_ = 0;
    bool header_done_ = false;
};

}  // namespace

class RequestParser::Impl {
public:
    explicit Impl(const RequestLimits& l) : limits(l) { begin(); }

    void begin() {
        grammar.emplace(limits);
        scanner = HeaderScanner();
        progress = RequestProgress::header;
    }

    void refuse(const ProblemCode& problem, std::string detail) {
        grammar->failure.problem = &problem;
        grammar->failure.detail = std::move(detail);
        progress = RequestProgress::failed;
    }

    bool header_is_there(std::string_view bytes) {
        switch (scanner.scan(bytes, limits.header_size_max)) {
            case HeaderScan::complete: return true;
            case HeaderScan::incomplete: return false;
            case HeaderScan::bare_line_feed:
                refuse(problems::kBadRequest, "header lines must end with CR LF");
                return false;
            case HeaderScan::folded_line:
                refuse(problems::kBadRequest, "header fields must not continue on a second line");
                return false;
            case HeaderScan::too_large:
                refuse(problems::kHeaderTooLarge,
                       "the header may have " + std::to_string(limits.header_size_max) + " bytes");
                return false;
        }
        return false;
    }

    void explain(const error_code& error, std::string_view bytes) {
        if (grammar->failure.problem != nullptr) {
            progress = RequestProgress::failed;
            return;
        }
        if (error == beast::http::error::body_limit) {
            return refuse(problems::kBodyTooLarge,
                          "the body may have " + std::to_string(limits.body_size_max) + " bytes");
        }
        const std::string_view line = bytes.substr(0, bytes.find('\r'));
        if (error == beast::http::error::bad_version &&
            line.find(" HTTP/") != std::string_view::npos) {
            return refuse(problems::kVersionNotSupported, "send HTTP/1.1");
        }
        refuse(problems::kBadRequest, error.message());
    }

    const RequestLimits limits;
    std::optional<Grammar> grammar;
    HeaderScanner scanner;
    RequestProgress progress = RequestProgress::header;
};

RequestParser::RequestParser(const RequestLimits& limits) : impl_(std::make_unique<Impl>(limits)) {}

RequestParser::~RequestParser() = default;

std::size_t RequestParser::feed(std::string_view bytes) {
    Impl& impl = *impl_;
    if (bytes.empty() || impl.progress == RequestProgress::complete ||
        impl.progress == RequestProgress::failed) {
        return 0;
    }
    if (impl.progress == RequestProgress::header && !impl.header_is_there(bytes)) {
        return 0;
    }
    if (impl.progress == RequestProgress::body && impl.grammar->must_wait(bytes.size())) {
        return 0;
    }
    error_code error;
    const std::size_t used =
        impl.grammar->put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
    if (error && error != beast::http::error::need_more) {
        impl.explain(error, bytes);
        return used;
    }
    // HeaderScanner has seen its end: Beast waits for the rest of a version that cannot come.
    if (!impl.grammar->is_header_done()) {
        impl.explain(beast::http::error::bad_version, bytes);
        return used;
    }
    impl.progress = impl.grammar->is_done() ? RequestProgress::complete : RequestProgress::body;
    // What is left here is a chunk header or trailers, which nothing else bounds.
    const std::size_t left = bytes.size() - used;
    if (impl.progress == RequestProgress::body && left > impl.limits.header_size_max) {
        impl.refuse(problems::kHeaderTooLarge, "a chunk header or the trailers are too large");
    }
    return used;
}

RequestProgress RequestParser::progress() const noexcept { return impl_->progress; }

std::size_t RequestParser::body_received() const noexcept {
    return impl_->grammar->request.body.size();
}

bool RequestParser::expects_continue() const noexcept { return impl_->grammar->expects_continue; }

bool RequestParser::keep_alive() const noexcept { return impl_->grammar->keep_alive(); }

bool RequestParser::is_http_1_0() const noexcept { return impl_->grammar->http_1_0; }

Request RequestParser::take_request() {
    Request request = std::move(impl_->grammar->request);
    impl_->begin();
    return request;
}

const RequestParser::Failure& RequestParser::failure() const noexcept {
    return impl_->grammar->failure;
}

}  // namespace twofold::http
