Rails.application.routes.draw do
  root "guest_book#index"
  post "/entries", to: "guest_book#write"
  get "/login", to: "guest_book#login"
  post "/login", to: "guest_book#enter"
  post "/logout", to: "guest_book#leave"
  get "/big", to: "guest_book#big"
  get "/fragment", to: "guest_book#fragment"
end
